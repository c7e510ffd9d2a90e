"""The index behind the server: who may use it when, how fresh it is, and what becomes of an answer nobody waits for."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import torch
from starlette.requests import Request as HTTPRequest

from ..errors import ManymodalError
from ..requests import QueryPart, Request
from .bodies import Bodies
from .dispatch import Closed, Full, Lane
from .metrics import Metrics
from .problems import CLIENT_GONE, Problem, busy
from .settings import ServerSettings

if TYPE_CHECKING:
    from ..index.exact import Hit
    from ..search_index import Index

log = logging.getLogger("manymodal.server")
SMALL = 32_768  # bytes that are read in less time than it takes to hand them to another thread and back
T = TypeVar("T")
Call = Callable[[], Any]


class Found(NamedTuple):
    """Hits, and the version of the index that gave them."""

    hits: list[Hit]
    version: int


class Service:
    """One index, one lane to its encoders and searches, another to its items and media.

    The index is searched by one thread, and read by several; it has to bear a `refresh` beside these.
    """

    def __init__(self, index: Index, settings: ServerSettings) -> None:
        self.index, self.settings = index, settings
        self.searches: Lane[Request | Call, Any] = Lane(self._answer, settings.waiting, settings.batch)
        self.reads: Lane[Call, Any] = Lane(self._read, settings.waiting, threads=settings.readers)
        self.checks = ThreadPoolExecutor(2, thread_name_prefix="checks")
        self.bodies = Bodies(settings)
        self.metrics = Metrics(self.searches)
        self.stopping = self._proven = False
        self._look()
        self._looked, self._looking = -float("inf"), threading.Lock()

    async def found(self, request: HTTPRequest, asked: Request) -> Found:
        """The hits of a search; see `_awaited` for what is raised."""
        found: Found = await self._awaited(request, self.searches, asked)
        return found

    async def computed(self, request: HTTPRequest, call: Callable[[], T]) -> T:
        """What a call gives that needs the encoders; it takes its turn among the searches."""
        result: T = await self._awaited(request, self.searches, call)
        return result

    async def read(self, request: HTTPRequest, call: Callable[[], T]) -> T:
        """What a call gives that only reads items or media."""
        result: T = await self._awaited(request, self.reads, call)
        return result

    async def checked(self, call: Callable[[], T], size: int) -> T:
        """What a call makes of a body of so many bytes: at once where it is small, else beside the event loop.

        Raises:
            Problem: 504 the time is up.
            Exception: what the call raised.
        """
        if size < SMALL:
            return call()
        try:
            async with asyncio.timeout(self.settings.request_seconds):
                return await asyncio.get_running_loop().run_in_executor(self.checks, call)
        except TimeoutError as error:
            raise self._late() from error

    def admit(self) -> None:
        """Refuse a request before its body is read where it would be refused after.

        Raises:
            Problem: 503.
        """
        if self.searches.full:
            raise self._refused(Closed() if self.stopping else Full())

    async def check_ready(self) -> None:
        """Nothing, where searches are answered: from the first one that was until shutdown starts.

        Raises:
            Problem: 503.
        """
        if self.stopping:
            raise busy("the server is shutting down", 5)
        if self._proven:
            return
        name = next(iter(self.modalities))
        vector = torch.eye(1, self.index.d)  # (1, d)
        probe = Request([QueryPart(name, vectors=vector)], target=name, k=1)
        try:
            async with asyncio.timeout(self.settings.request_seconds):
                await self.searches.submit(probe)
        except Exception as error:
            log.exception("the index does not answer yet")
            raise busy("the index does not answer yet") from error
        self._proven = True

    def close(self) -> None:
        """Take nothing more and finish what is under way."""
        self.stopping = True
        self.searches.close(self.settings.drain_seconds)
        self.reads.close(self.settings.drain_seconds)
        self.checks.shutdown(wait=False, cancel_futures=True)

    async def _awaited(self, request: HTTPRequest, lane: Lane[Any, Any], job: Any) -> Any:
        """A job's answer, unless its time is up or its client is gone first.

        Raises:
            Problem: 503 the queue is full, 504 the time is up, 499 the client is gone.
            Exception: what the job raised.
        """
        try:
            answer = lane.submit(job)
        except (Full, Closed) as error:
            raise self._refused(error) from error
        gone = asyncio.ensure_future(_gone(request))
        try:
            seconds = self.settings.request_seconds
            done, _ = await asyncio.wait({answer, gone}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
            if answer in done:
                return answer.result()
        except Closed as error:
            raise self._refused(error) from error
        finally:
            gone.cancel()
            answer.cancel()  # where it is not there yet: the lane skips it
        if gone in done:
            raise Problem(CLIENT_GONE, "the client is gone")
        raise self._late()

    def _late(self) -> Problem:
        self.metrics.refused.labels("time").inc()
        seconds = self.settings.request_seconds
        return Problem(504, f"no answer within {seconds:g} seconds; ask for less, or try again when it is quieter")

    def _refused(self, error: Exception) -> Problem:
        if isinstance(error, Closed):
            return busy("the server is shutting down", 5)
        self.metrics.refused.labels("queue").inc()
        return busy(f"{self.settings.waiting} requests are waiting, which is the most; try again")

    def _answer(self, jobs: Sequence[Request | Call]) -> list[Any]:
        self._refresh()
        started = time.perf_counter()
        found = iter(self._search([job for job in jobs if isinstance(job, Request)]))
        answers = [next(found) if isinstance(job, Request) else _outcome(job) for job in jobs]
        self.metrics.batch(len(jobs), time.perf_counter() - started)
        return answers

    def _search(self, requests: list[Request]) -> list[Found | Exception]:
        if not requests:
            return []
        version = self.index.version
        try:
            answers = self.index.search_many(requests)
        except Exception as error:
            if len(requests) == 1:
                return [error]
            return [self._search([request])[0] for request in requests]  # the others need not suffer from one
        return [each if isinstance(each, ManymodalError) else Found(each, version) for each in answers]

    def _read(self, calls: Sequence[Call]) -> list[Any]:
        self._refresh()
        return [_outcome(call) for call in calls]

    def _look(self) -> None:
        """Note what is asked of every request: an index counts when it tells of its modalities."""
        self.modalities, self._version = self.index.modalities, self.index.version
        self.metrics.describe(self._version, self.index.items)

    def _refresh(self) -> None:
        """Look for writes of other processes, where the last look is old enough."""
        with self._looking:
            if time.monotonic() - self._looked >= self.settings.refresh_seconds:
                try:
                    if self.index.refresh() or self.index.version != self._version:
                        self._look()
                except Exception:  # what is open still answers
                    log.exception("the index could not be refreshed; version %d is served", self.index.version)
                self._looked = time.monotonic()


def _outcome(call: Call) -> Any:
    try:
        return call()
    except Exception as error:
        return error


async def _gone(request: HTTPRequest) -> None:
    """Return once the client has hung up."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
