"""What the server counts, for Prometheus; a registry of its own for each application."""

from __future__ import annotations

from collections.abc import Sized

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from starlette.responses import Response

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
SIZES = (1, 2, 4, 8, 16, 32, 64)


class Metrics:
    """Counters and histograms of one application.

    Args:
        queue: what waits for it.
    """

    def __init__(self, queue: Sized) -> None:
        own = self.registry = CollectorRegistry()
        self.requests = Counter("manymodal_requests", "By route and status.", ["route", "status"], registry=own)
        self.seconds = Histogram(
            "manymodal_request_seconds", "From a request to its answer.", ["route"], buckets=SECONDS, registry=own
        )
        self.refused = Counter("manymodal_refused", "Refusals for want of room, time or a key.", ["why"], registry=own)
        self._sizes = Histogram("manymodal_batch_size", "Requests answered together.", buckets=SIZES, registry=own)
        self._batches = Histogram(
            "manymodal_batch_seconds", "In encoders and search, for one batch.", buckets=SECONDS, registry=own
        )
        Gauge("manymodal_waiting", "Requests in the queue.", registry=own).set_function(lambda: len(queue))
        self._version = Gauge("manymodal_index_version", "Version that is served.", registry=own)
        self._items = Gauge("manymodal_index_items", "Items in it.", registry=own)

    def describe(self, version: int, items: int) -> None:
        """What is served."""
        self._version.set(version)
        self._items.set(items)

    def batch(self, size: int, seconds: float) -> None:
        """One batch was answered."""
        self._sizes.observe(size)
        self._batches.observe(seconds)

    def response(self) -> Response:
        """All of it, in the exposition format."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_LATEST)
