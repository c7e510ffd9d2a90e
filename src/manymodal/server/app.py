"""The application: routes, page, documentation and what stands around them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import FileResponse
from starlette.staticfiles import StaticFiles

from .guard import Gate, Guard
from .openapi import add_docs, describe
from .problems import Problem, add_handlers
from .routes import health, routes
from .service import Service
from .settings import ServerSettings

if TYPE_CHECKING:
    from ..search_index import Index

PAGE = Path(__file__).parent / "page"


def create_app(index: Index, settings: ServerSettings | None = None) -> FastAPI:
    """An ASGI application that serves an index.

    Args:
        index: what is searched. One thread searches and embeds, a few others read items and media.
        settings: limits, keys and the like.
    """
    settings = settings or ServerSettings()
    service = Service(index, settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        async def warm_up() -> None:
            with suppress(Problem):  # /ready says why, and tries again
                await service.check_ready()

        warming = asyncio.create_task(warm_up())
        yield
        warming.cancel()
        await asyncio.to_thread(service.close)

    app = FastAPI(
        title="manymodal",
        version=str(_version()),
        summary="Search with any combination of modalities.",
        redirect_slashes=False,  # the target would be an absolute URL, which a proxy may not know
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.service = service
    app.include_router(routes(service))
    app.include_router(health(service))
    _add_page(app)
    add_docs(app)
    add_handlers(app)
    describe(app, keys=bool(settings.keys))
    # The last one added stands outermost.
    app.add_middleware(Gate, settings=settings, metrics=service.metrics)
    if settings.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.origins,
            allow_methods=["GET", "POST"],
            allow_headers=["Authorization", "Content-Type"],
            expose_headers=["Retry-After"],
        )
    app.add_middleware(Guard, metrics=service.metrics, root_path=settings.root_path)
    return app


def _add_page(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def page() -> FileResponse:
        return FileResponse(PAGE / "index.html")

    app.mount("/page", StaticFiles(directory=PAGE))


def _version() -> str:
    from importlib.metadata import version

    return version("manymodal")
