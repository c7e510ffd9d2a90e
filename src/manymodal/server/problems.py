"""Errors as the wire has them: RFC 9457 problem documents, with no trace and no path in them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response

from ..errors import ManymodalError

MEDIA_TYPE = "application/problem+json"
LONGEST = 1_000  # characters of a detail: a message may quote what came
CLIENT_GONE = 499  # nobody reads this answer; it is for the metrics


class Problem(Exception):
    """A refusal: its status, why, and headers that go with it."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status, self.detail, self.headers = status, detail, dict(headers or {})

    def response(self) -> Response:
        """The problem document."""
        detail = self.detail if len(self.detail) <= LONGEST else self.detail[:LONGEST] + " ..."
        title = "Client Closed Request" if self.status == CLIENT_GONE else HTTPStatus(self.status).phrase
        content = {"type": "about:blank", "title": title, "status": self.status, "detail": detail}
        return Response(json.dumps(content), self.status, self.headers, media_type=MEDIA_TYPE)


def busy(detail: str, seconds: int = 1) -> Problem:
    """503 with the time after which to try again."""
    return Problem(503, detail, {"Retry-After": str(seconds)})


def invalid(error: ValidationError | RequestValidationError) -> Problem:
    """422 naming each field that is wrong; 400 where the body is no JSON at all. What came is not repeated."""
    errors: list[Any] = list(error.errors())
    if errors and errors[0]["type"] == "json_invalid":
        return Problem(400, f"the body is not JSON: {errors[0]['msg'].removeprefix('Invalid JSON: ')}")
    return Problem(422, "; ".join(_one(each) for each in errors[:5]))


def _one(error: Mapping[str, Any]) -> str:
    place = ".".join(str(step)[:80] for step in error["loc"]) or "the body"
    unknown = error["type"] == "extra_forbidden"
    return f"{place}: {'no such field' if unknown else error['msg'].removeprefix('Value error, ')}"


def add_handlers(app: FastAPI) -> None:
    """Answer every foreseen error as a problem document."""

    async def problem(_: Request, error: Exception) -> Response:
        assert isinstance(error, Problem)
        return error.response()

    async def mistake(_: Request, error: Exception) -> Response:
        return Problem(422, str(error)).response()

    async def mismatch(_: Request, error: Exception) -> Response:
        assert isinstance(error, (ValidationError, RequestValidationError))
        return invalid(error).response()

    async def plain(_: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        detail = {404: "there is nothing here; /docs says what there is", 405: "this method is not allowed here"}
        return Problem(error.status_code, detail.get(error.status_code, error.detail), error.headers).response()

    app.add_exception_handler(Problem, problem)
    app.add_exception_handler(ManymodalError, mistake)
    app.add_exception_handler(RequestValidationError, mismatch)
    app.add_exception_handler(ValidationError, mismatch)
    app.add_exception_handler(HTTPException, plain)
