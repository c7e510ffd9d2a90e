"""A connection that has to say what it wants in time: one that dribbles holds a place that others need."""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class Connection(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, and no other protocol; closes where the head of a request takes too long."""

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._due: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Somebody called."""
        super().connection_made(transport)
        self._wait_for_head()

    def data_received(self, data: bytes) -> None:
        """More of a head, of a body, or of the next request."""
        super().data_received(data)
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """They hung up, or we did."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _wait_for_head(self) -> None:
        """From the first byte of a head, or the call, to its last; between requests uvicorn counts the time itself."""
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        elif self._due is None:
            seconds = self.config.app.state.service.settings.head_seconds  # type: ignore[union-attr]
            self._due = self.loop.call_later(seconds, self.transport.close)

    def _stop_waiting(self) -> None:
        if self._due is not None:
            self._due.cancel()
            self._due = None

    def _should_upgrade(self) -> bool:
        return False  # uvicorn would write two lines into the log for each that asks
