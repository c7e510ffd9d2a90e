"""What can be asked for: search, similar items, embeddings, classes, items and their media."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any, TypeVar

from fastapi import APIRouter, Query, Request
from pydantic import BaseModel
from starlette.responses import Response

from ..errors import ManymodalError
from ..requests import QueryPart
from ..requests import Request as Search
from . import examples, wire
from .answers import hits_out, index_out, item_out, media_out, reply
from .asked import Reader, at_most, condition
from .openapi import BODY_REFUSALS, REFUSALS, body, problems
from .problems import Problem
from .service import Service

Model = TypeVar("Model", bound=BaseModel)
T = TypeVar("T")


def routes(service: Service) -> APIRouter:
    """The routes of one index."""
    router = APIRouter(tags=["search"])
    index, settings = service.index, service.settings
    limits = settings.limits

    @asynccontextmanager
    async def asked(request: Request, model: type[Model], make: Callable[[Reader, Model], T]) -> AsyncIterator[T]:
        """What `make` reads from a body, which is held until the answer is there."""
        service.admit()
        async with service.bodies.read(request) as came:

            def read() -> T:
                reader = Reader(service.modalities, index.d, limits, came.files)
                made = make(reader, model.model_validate_json(came.json))
                reader.finish()
                return made

            yield await service.checked(read, came.size)

    async def answer(request: Request, search: Search, started: float, leave_out: str | None = None) -> Response:
        found = await service.found(request, search)
        hits = [hit for hit in found.hits if hit.id != leave_out]
        return reply(
            {
                "hits": hits_out(hits if leave_out is None else hits[: search.k - 1], search.target),
                "target": search.target,
                "exact": index.engine == "exact" or per_label(search.target),
                "version": found.version,
                "took_ms": round(1000 * (time.perf_counter() - started), 2),
            }
        )

    def per_label(name: str) -> bool:
        return name in service.modalities and service.modalities[name].per == "label"

    @router.post(
        "/search",
        responses={200: {"model": wire.SearchAnswer}, **problems(*BODY_REFUSALS)},
        openapi_extra=body(wire.SearchRequest, examples.SEARCH),
    )
    async def search(request: Request) -> Response:
        """Search by any combination of modalities; a negative weight says what hits should be without."""
        started = time.perf_counter()
        async with asked(request, wire.SearchRequest, Reader.search) as wanted:
            return await answer(request, wanted, started)

    @router.get("/similar", responses={200: {"model": wire.SearchAnswer}, **problems(404, *REFUSALS)})
    async def similar(request: Request, params: Annotated[wire.SimilarParams, Query()]) -> Response:
        """More like a stored item, by all its modalities or those named; the item itself is left out."""
        started = time.perf_counter()
        at_most("k", params.k, limits.k)
        item = await service.read(request, lambda: found(lambda: index.item(params.id)))
        using = params.using or [name for name, values in item.values.items() if values]
        at_most("using: modalities", len(using), limits.parts)
        owners = {name: item.label if per_label(name) else item.id for name in using}
        if lacking := [name for name, owner in owners.items() if owner is None]:
            raise ManymodalError(f"{lacking[0]!r} has one value per label, and item {item.id!r} has no label")
        parts = [QueryPart(name, ids=[owner]) for name, owner in owners.items() if owner is not None]
        of_items = not per_label(params.target)
        wanted = Search(parts, params.target, params.k + of_items, where=condition(params.where, limits))
        return await answer(request, wanted, started, leave_out=item.id if of_items else None)

    @router.post(
        "/embed",
        responses={200: {"model": wire.EmbedAnswer}, **problems(*BODY_REFUSALS)},
        openapi_extra=body(wire.EmbedRequest, examples.EMBED),
    )
    async def embed(request: Request) -> Response:
        """Unit vectors of raw values."""

        def make(reader: Reader, wanted: wire.EmbedRequest) -> Callable[[], list[list[float]]]:
            values = reader.values(wanted.modality, wanted.values, limits.values)
            return lambda: index.embed(wanted.modality, values).tolist()

        async with asked(request, wire.EmbedRequest, make) as call:
            vectors = await service.computed(request, call)
            return reply({"vectors": vectors, "d": index.d, "space": index.fingerprint})

    @router.post(
        "/classify",
        responses={200: {"model": wire.ClassifyAnswer}, **problems(*BODY_REFUSALS)},
        openapi_extra=body(wire.ClassifyRequest, examples.CLASSIFY),
    )
    async def classify(request: Request) -> Response:
        """Which of the classes, named on the spot, a query is nearest to."""

        def make(reader: Reader, wanted: wire.ClassifyRequest) -> Callable[[], list[tuple[int, float]]]:
            parts = reader.parts(wanted.query)
            classes = reader.values(wanted.modality, wanted.classes, limits.classes)
            return lambda: index.classify(parts, wanted.modality, classes, calibrated=wanted.calibrated)

        async with asked(request, wire.ClassifyRequest, make) as call:
            ranked = await service.computed(request, call)
            return reply({"classes": [{"class": place, "similarity": cosine} for place, cosine in ranked]})

    @router.get("/items", responses={200: {"model": wire.ItemsAnswer}, **problems(*REFUSALS)})
    async def items(request: Request, params: Annotated[wire.ItemsParams, Query()]) -> Response:
        """A page of items."""
        at_most("limit", params.limit, limits.page_items)
        where = condition(params.where, limits)
        page, total = await service.read(request, lambda: index.list_items(where, params.limit, params.offset))
        return reply({"items": [item_out(item) for item in page], "total": total})

    @router.get("/item", responses={200: {"model": wire.ItemOut}, **problems(404, *REFUSALS)})
    async def item(request: Request, params: Annotated[wire.ItemParams, Query()]) -> Response:
        """One item with all its values."""
        one = await service.read(request, lambda: found(lambda: index.item(params.id)))
        return reply(item_out(one))

    @router.get(
        "/media",
        response_class=Response,
        responses={
            200: {"description": "The bytes, as image/... or audio/...", "content": {"*/*": {}}},
            206: {"description": "A range of them", "content": {"*/*": {}}},
            304: {"description": "As the browser has them"},
            416: {"description": "No such range"},
            **problems(404, *REFUSALS),
        },
    )
    async def media(request: Request, params: Annotated[wire.MediaParams, Query()]) -> Response:
        """A stored picture or sound; the id is the label for a modality with one value per label."""
        content, kind = await service.read(
            request, lambda: found(lambda: index.media(params.id, params.modality, params.place))
        )
        return media_out(request, content, kind, settings.media_seconds)

    @router.get("/index", responses={200: {"model": wire.IndexAnswer}, **problems(*REFUSALS)})
    async def describe(request: Request) -> Response:
        """What is served: modalities, columns, targets; and what is allowed."""
        return reply(await service.read(request, lambda: index_out(index, settings)))

    return router


def found(look: Callable[[], T]) -> T:
    """What is stored under a name; 404 where nothing is.

    Raises:
        Problem: 404.
    """
    try:
        return look()
    except ManymodalError as error:
        raise Problem(404, str(error)) from error


def health(service: Service) -> APIRouter:
    """Routes for those who watch over the service."""
    router = APIRouter(tags=["health"])
    free: dict[str, Any] = {"security": []}

    @router.get("/live", response_model=wire.Health, openapi_extra=free)
    async def live() -> Response:
        """Whether the process answers at all."""
        return reply({"status": "live"})

    @router.get("/ready", response_model=wire.Health, responses=problems(503), openapi_extra=free)
    async def ready() -> Response:
        """Whether searches are answered: from the first one that was until shutdown starts."""
        await service.check_ready()
        return reply({"status": "ready"})

    @router.get(
        "/metrics",
        response_class=Response,
        responses={200: {"content": {"text/plain": {}}}, **problems(401, 429)},
    )
    async def metrics() -> Response:
        """Counters for Prometheus."""
        return service.metrics.response()

    return router
