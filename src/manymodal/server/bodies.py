"""Reading a body: its size, its time and its type are limited before anything is parsed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import NamedTuple

from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import ClientDisconnect, Request

from .problems import CLIENT_GONE, Problem, busy
from .settings import ServerSettings

REQUEST_FIELD = "request"


class Body(NamedTuple):
    """A request's JSON, unparsed, and the files that came with it by the names of their fields."""

    json: bytes
    files: dict[str, bytes]
    size: int


@dataclass
class Bodies:
    """Reads bodies, and counts what all of them hold in memory."""

    settings: ServerSettings
    held: int = field(default=0, init=False)

    @asynccontextmanager
    async def read(self, request: Request) -> AsyncIterator[Body]:
        """The body of a request, which counts as held until the context is left.

        Raises:
            Problem: 400 broken multipart, 408 too slow, 413 too large, 415 another type, 503 too much is held.
        """
        kind = _kind(request)
        content = bytearray()
        try:
            await self._receive(request, content)
            if kind == "multipart":
                yield await self._multipart(request, bytes(content))
            else:
                yield Body(bytes(content), {}, len(content))
        finally:
            self.held -= len(content)

    async def _receive(self, request: Request, content: bytearray) -> None:
        try:
            async with asyncio.timeout(self.settings.body_seconds):
                async for chunk in self._chunks(request):
                    self.held += len(chunk)
                    content += chunk
        except TimeoutError as error:
            late = f"the body did not arrive within {self.settings.body_seconds:g} seconds"
            raise Problem(408, late, {"Connection": "close"}) from error
        except ClientDisconnect as error:
            raise Problem(CLIENT_GONE, "the client is gone") from error

    async def _chunks(self, request: Request) -> AsyncIterator[bytes]:
        most = self.settings.limits.body_bytes
        declared = request.headers.get("content-length", "")
        came = int(declared) if declared.isascii() and declared.isdigit() and len(declared) < 20 else 0
        self._check(came, came, most)
        came = 0
        async for chunk in request.stream():
            came += len(chunk)
            self._check(came, len(chunk), most)
            yield chunk

    def _check(self, size: int, more: int, most: int) -> None:
        # What was not read is not waited for: the connection closes instead.
        if size > most:
            raise Problem(413, f"the body is larger than {most:,} bytes, which is the most", {"Connection": "close"})
        if self.held + more > self.settings.held_bytes:
            error = busy("too many large requests at a time; try again")
            error.headers["Connection"] = "close"
            raise error

    async def _multipart(self, request: Request, content: bytes) -> Body:
        limits = self.settings.limits
        files = limits.parts * limits.values + 1

        async def once() -> AsyncGenerator[bytes, None]:
            yield content

        parser = _InMemory(request.headers, once(), max_files=files, max_fields=files, max_part_size=limits.body_bytes)
        try:
            form: FormData = await parser.parse()
        except MultiPartException as error:
            raise Problem(400, f"broken multipart body: {error.message}") from error
        fields: dict[str, bytes] = {}
        for name, value in form.multi_items():
            if name in fields:
                raise Problem(422, f"field {name!r} came twice; give each file a name of its own")
            fields[name] = await value.read() if isinstance(value, UploadFile) else value.encode()
        if REQUEST_FIELD not in fields:
            raise Problem(422, f"no field {REQUEST_FIELD!r}; it holds the JSON that names the other fields")
        return Body(fields.pop(REQUEST_FIELD), fields, len(content))


class _InMemory(MultiPartParser):
    """The body is in memory already and is bounded: no file is written beside it."""

    spool_max_size = 0


def _kind(request: Request) -> str:
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise Problem(415, f"content encoding {encoding!r} is not read; send the body as it is")
    given = request.headers.get("content-type", "")
    try:
        kind, options = parse_options_header(given)
    except Exception:  # the parser of mail headers that is behind it raises what it meets
        kind, options = b"", {}
    charset = options.get(b"charset", b"utf-8").lower()
    if kind == b"application/json" and charset in (b"utf-8", b"utf8"):
        return "json"
    if kind == b"multipart/form-data":
        return "multipart"
    raise Problem(415, f"content type {given!r}; needed: application/json (UTF-8) or multipart/form-data")
