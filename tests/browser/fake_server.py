"""A server for the page's tests: the HTTP surface over the things of `fake_things`."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn
from fake_things import (
    MODALITIES,
    SHAPES,
    THINGS,
    alike,
    columns_of,
    count_of,
    drawing_of,
    index_of,
    meets,
    picture_of,
    sound_of,
)
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

import manymodal

PAGE = Path(manymodal.__file__).parent / "server" / "page"
CSP = (
    "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; connect-src 'self'; frame-ancestors 'none'"
)


class FakeServer:
    """What the page talks to; `fail` is the problem that searches meet, and one for something "slow" takes a while."""

    def __init__(self, *, key: str | None = None, drawings: bool = False) -> None:
        self.key, self.drawings = key, drawings
        self.fail: tuple[int, str] | None = None
        routes = [Route("/index", self._open), Route("/items", self._items), Route("/item", self._item), Route("/media", self._media),
                  Route("/search", self._search, methods=["POST"]), Route("/", self._first),
                  Mount("/page", StaticFiles(directory=PAGE))]  # fmt: skip
        self.app = Starlette(routes=routes)

    def _refused(self, request: Request) -> Response | None:
        if self.key and request.headers.get("authorization") != f"Bearer {self.key}":
            return _problem(401, "a key is needed")
        return None

    async def _first(self, request: Request) -> Response:
        return Response(
            (PAGE / "index.html").read_bytes(), media_type="text/html", headers={"Content-Security-Policy": CSP}
        )

    async def _open(self, request: Request) -> Response:
        return self._refused(request) or JSONResponse(index_of(THINGS))

    async def _items(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        try:
            found = [id for id, thing in THINGS.items() if meets(thing, request.query_params.get("where", ""))]
        except ValueError as error:
            return _problem(400, str(error))
        limit = int(request.query_params.get("limit", 20))
        return JSONResponse({"items": [self._itself(id) for id in found[:limit]], "total": len(found)})

    async def _item(self, request: Request) -> Response:
        id = request.query_params["id"]
        return self._refused(request) or (
            JSONResponse(self._itself(id)) if id in THINGS else _problem(404, f"no item {id!r}")
        )

    def _itself(self, id: str) -> dict[str, Any]:
        thing = THINGS[id]
        values = {
            name: [self._shown(id, name, place) for place in range(count_of(thing, name))]
            for name in MODALITIES
            if name != "species"
        }
        return {
            "id": id,
            "label": thing["shape"],
            "columns": columns_of(thing),
            "values": {name: v for name, v in values.items() if v},
        }

    def _shown(self, id: str, modality: str, place: int) -> dict[str, Any]:
        thing = THINGS.get(id)
        kind = MODALITIES.get(modality, {}).get("kind")
        type = {"image": "image/png" if self.drawings else "image/jpeg", "audio": "audio/wav"}.get(kind or "")
        text = None
        if modality == "species":
            text = f"the {id}s"
        elif thing and kind == "text":
            text = thing["captions"][place]
        elif thing and kind == "table":
            text = f"weight: {len(thing['shape'])}; material: paper; signed: yes"
        media = f"/media?id={id}&modality={modality}&place={place}" if type else None
        return {"place": place, "text": text, "type": type, "media": media}

    async def _media(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        thing = THINGS[request.query_params["id"]]
        if request.query_params["modality"] == "sound":
            return Response(sound_of(thing), media_type="audio/wav")
        if self.drawings:
            return Response(drawing_of(thing), media_type="image/png")
        return Response(picture_of(thing), media_type="image/jpeg")

    async def _search(self, request: Request) -> Response:
        if refused := self._refused(request):
            return refused
        files = {}
        if request.headers["content-type"].startswith("multipart/"):
            form = await request.form()
            asked = json.loads(str(form["request"]))
            files = {name: await file.read() for name, file in form.items() if not isinstance(file, str)}
        else:
            asked = await request.json()
        names = [(part["modality"], part["weight"] < 0) for part in asked["query"]]
        if len(set(names)) < len(names):
            return _problem(422, "a part is given twice; give several values in one part")
        if "slow" in str(asked["query"]):
            await asyncio.sleep(0.8)
        if self.fail:
            return _problem(*self.fail)
        ids = (
            list(SHAPES)
            if asked["target"] == "species"
            else [id for id, thing in THINGS.items() if meets(thing, asked.get("where", ""))]
        )
        hits = sorted((self._hit(id, asked, files) for id in ids), key=lambda hit: (-hit["score"], hit["id"]))
        return JSONResponse(
            {"hits": hits[: asked["k"]], "target": asked["target"], "exact": True, "version": 3, "took_ms": 3.21}
        )

    def _hit(self, id: str, asked: dict[str, Any], files: dict[str, bytes]) -> dict[str, Any]:
        thing = THINGS.get(id, {"colour": "", "shape": id, "captions": []})
        parts, score = {}, 0.0
        for part in asked["query"]:
            likeness = alike(thing, part, files)
            parts[("-" if part["weight"] < 0 else "") + part["modality"]] = likeness
            score += part["weight"] * likeness
        target = asked["target"]
        shown = None if target == "item" else self._shown(id, target, 0)
        return {
            "id": id,
            "score": score / len(parts),
            "value": 0,
            "parts": parts,
            "columns": columns_of(thing) if id in THINGS else {},
            "shown": shown,
        }


def _problem(status: int, detail: str) -> JSONResponse:
    return JSONResponse(
        {"type": "about:blank", "title": "Refused", "status": status, "detail": detail},
        status,
        media_type="application/problem+json",
    )


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """An app on a free loopback port; gives its address."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started and thread.is_alive():
        thread.join(0.02)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}/"
    finally:
        server.should_exit = True
        thread.join(10)
