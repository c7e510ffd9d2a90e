"""A lane: a bounded queue, and threads that take everything that waits as one batch.

While a batch is being answered the next requests gather; so batches grow with the load, and a lone request waits for
nobody.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Generic, NamedTuple, TypeVar

Job = TypeVar("Job")
Answer = TypeVar("Answer")


class Full(Exception):
    """As many jobs wait as may."""


class Closed(Exception):
    """The lane takes no more jobs."""


class _Ticket(NamedTuple, Generic[Job, Answer]):
    job: Job
    future: asyncio.Future[Answer]


class Lane(Generic[Job, Answer]):
    """Jobs from event loops to threads, and answers back.

    Args:
        answer: jobs -> for each its answer, or the exception that its asker gets. Runs in the lane's threads.
        waiting: jobs that may wait.
        batch: jobs answered together, at most.
        threads: how many run `answer`; with one, `answer` is never run twice at a time.
    """

    def __init__(
        self,
        answer: Callable[[Sequence[Job]], Sequence[Answer | Exception]],
        waiting: int,
        batch: int = 1,
        threads: int = 1,
    ) -> None:
        self._answer, self._waiting, self._batch = answer, waiting, batch
        self._jobs: deque[_Ticket[Job, Answer]] = deque()
        self._changed = threading.Condition()
        self._closed = False
        self._threads = [threading.Thread(target=self._work, daemon=True) for _ in range(threads)]

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def full(self) -> bool:
        """Whether a job would be refused now."""
        return self._closed or len(self._jobs) >= self._waiting

    def submit(self, job: Job) -> asyncio.Future[Answer]:
        """The answer to come; a job whose future is cancelled before its turn is skipped.

        Raises:
            Full: as many wait as may.
            Closed: the lane was closed.
        """
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        with self._changed:
            if self._closed:
                raise Closed
            if self.full:
                self._jobs = deque(ticket for ticket in self._jobs if not ticket.future.done())
            if self.full:
                raise Full
            for thread in self._threads:
                if thread.ident is None:  # the first job starts them
                    thread.start()
            self._jobs.append(_Ticket(job, future))
            self._changed.notify()
        return future

    def close(self, seconds: float) -> None:
        """Take no more jobs, and wait for those that are there; those left after that time get `Closed`."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        until = time.monotonic() + seconds
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(0.0, until - time.monotonic()))
        with self._changed:
            left, self._jobs = list(self._jobs), deque()
        _deliver([(ticket.future, Closed()) for ticket in left])

    def _work(self) -> None:
        while tickets := self._take():
            try:
                answers = self._answer([ticket.job for ticket in tickets])
            except Exception as error:  # whatever it is belongs to those who asked
                answers = [error] * len(tickets)
            _deliver([(ticket.future, each) for ticket, each in zip(tickets, answers, strict=True)])
            del tickets, answers  # what they hold is not kept while the thread waits

    def _take(self) -> list[_Ticket[Job, Answer]]:
        """What waits, a batch at most; nothing once the lane is closed and empty."""
        with self._changed:
            while True:
                self._changed.wait_for(lambda: self._jobs or self._closed)
                tickets = [self._jobs.popleft() for _ in range(min(self._batch, len(self._jobs)))]
                wanted = [ticket for ticket in tickets if not ticket.future.done()]
                if wanted or (self._closed and not self._jobs):
                    return wanted


def _deliver(answers: Sequence[tuple[asyncio.Future[Answer], Answer | Exception]]) -> None:
    """Each answer to its event loop, all of a loop's in one call."""
    for loop in {future.get_loop() for future, _ in answers}:
        mine = [(future, answer) for future, answer in answers if future.get_loop() is loop]
        with suppress(RuntimeError):  # the loop was closed: nobody waits any more
            loop.call_soon_threadsafe(_settle, mine)


def _settle(answers: Sequence[tuple[asyncio.Future[Answer], Answer | Exception]]) -> None:
    for future, answer in answers:
        if future.done():
            continue
        if isinstance(answer, Exception):
            future.set_exception(answer)
        else:
            future.set_result(answer)
