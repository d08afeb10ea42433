"""What is told of a request: to its client in header fields, to `/metrics`, to the log and to a trace."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.types import Message, Scope

from gateways.core import logs, metrics, stages, tracing

log = logging.getLogger(__name__)


@dataclass(slots=True)
class Observed:
    """A request that is being answered; whoever answers it sets `route` and `status`."""

    request_id: bytes
    spent: dict[str, float]
    route: str = "unmatched"
    status: int = 500

    def begin_answer(self, message: Message, *, last: bool) -> None:
        """Note the status of an answer that begins, and add what its client is told; `last` of its connection."""
        self.status = message["status"]
        told = [(b"x-request-id", self.request_id)]
        if self.spent:
            told.append((b"server-timing", stages.server_timing(self.spent)))
        if last:
            told.append((b"connection", b"close"))
        message["headers"] = [*message["headers"], *told]


@contextmanager
def observing(scope: Scope) -> Iterator[Observed]:
    """Observe a request while it is answered."""
    started_s = time.perf_counter()
    method, path = scope["method"], scope["path"]
    seen = Observed(logs.begin(scope["headers"]), stages.begin())
    metrics.in_flight.inc()
    try:
        with tracing.request(method, path, scope["headers"]) as span:
            yield seen
            tracing.answered(span, method, seen.route, seen.status)
    finally:
        took_s = time.perf_counter() - started_s
        metrics.in_flight.dec()
        metrics.requests.labels(seen.route, seen.status).inc()
        metrics.latency.labels(seen.route).observe(took_s)
        log.debug("%s %s: %d after %.1f ms", method, path, seen.status, took_s * 1e3)
