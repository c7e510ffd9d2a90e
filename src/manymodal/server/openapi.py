"""The OpenAPI of bodies that are read by hand, and the pages that show it without a network."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any

from fastapi import FastAPI
from pydantic import BaseModel
from pydantic.json_schema import models_json_schema
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

from . import wire
from .bodies import REQUEST_FIELD
from .problems import MEDIA_TYPE

DOCS = Path(__file__).parent / "docs"
REFERENCE = "#/components/schemas/{model}"
REFUSALS = (401, 422, 429, 503, 504)
BODY_REFUSALS = (400, 401, 408, 413, 415, 422, 429, 503, 504)


def body(model: type[BaseModel], examples: Mapping[str, Any]) -> dict[str, Any]:
    """A body as JSON, or as multipart with files that its JSON names."""
    shown = {name: {"value": value} for name, value in examples.items()}
    form = {
        "type": "object",
        "properties": {
            REQUEST_FIELD: {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": {"$ref": REFERENCE.format(model=model.__name__)},
                "description": 'The JSON; a value {"file": "a"} is the content of the field "a".',
            }
        },
        "required": [REQUEST_FIELD],
        "additionalProperties": {"type": "string", "format": "binary"},
    }
    return {
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": {"$ref": REFERENCE.format(model=model.__name__)},
                    "examples": shown,
                },
                "multipart/form-data": {"schema": form},
            },
        }
    }


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Responses that are problem documents."""
    schema = {"$ref": REFERENCE.format(model=wire.ProblemOut.__name__)}
    return {
        status: {"description": HTTPStatus(status).phrase, "content": {MEDIA_TYPE: {"schema": schema}}}
        for status in statuses
    }


def describe(app: FastAPI, keys: bool) -> None:
    """Let the application's OpenAPI hold the models of bodies, and say that keys are needed where they are."""
    plain = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is None:
            schema = plain()
            asked = (wire.SearchRequest, wire.EmbedRequest, wire.ClassifyRequest)
            _, models = models_json_schema(
                [*((model, "validation") for model in asked), (wire.ProblemOut, "serialization")],
                ref_template=REFERENCE,
            )
            components = schema.setdefault("components", {})
            components["schemas"] = components.get("schemas", {}) | models["$defs"]
            if keys:
                components["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
                schema["security"] = [{"key": []}]
        assert app.openapi_schema is not None
        return app.openapi_schema

    app.openapi = openapi  # type: ignore[method-assign]


def add_docs(app: FastAPI) -> None:
    """`/docs` from files that are installed: it asks nobody else for anything."""

    @app.get("/docs", include_in_schema=False)
    async def docs() -> FileResponse:
        return FileResponse(DOCS / "index.html")

    app.mount("/docs", StaticFiles(directory=DOCS, packages=[("fastapi_offline", "static")]))
