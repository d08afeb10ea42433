"""Observe a request: its headers of the response, its metrics, its log line and its trace."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from starlette.types import Message, Scope

from gateways.core.observability import logs, metrics, stage_timing, tracing

log = logging.getLogger(__name__)


@dataclass(slots=True)
class RequestObserver:
    """A request being served. Its server sets `route` and `status`. `stage_s` fills with seconds per stage."""

    request_id: bytes
    stage_s: dict[str, float]
    route: str = "unmatched"
    status: int = 500

    def start_response(self, message: Message, *, last: bool) -> None:
        """Note the status of a response, and add headers to it. `last` closes the connection after the response."""
        self.status = message["status"]
        headers = [(b"x-request-id", self.request_id)]
        if self.stage_s:
            headers.append((b"server-timing", stage_timing.server_timing(self.stage_s)))
        if last:
            headers.append((b"connection", b"close"))
        message["headers"] = [*message["headers"], *headers]


@contextmanager
def observe(scope: Scope) -> Iterator[RequestObserver]:
    """Observe a request until its response is sent."""
    started_s = time.perf_counter()
    method, path = scope["method"], scope["path"]
    observer = RequestObserver(logs.begin(scope["headers"]), stage_timing.begin())
    metrics.in_flight.inc()
    try:
        with tracing.request(method, path, scope["headers"]) as span:
            yield observer
            tracing.end_request(span, method, observer.route, observer.status)
    finally:
        elapsed_s = time.perf_counter() - started_s
        metrics.in_flight.dec()
        metrics.requests.labels(observer.route, observer.status).inc()
        metrics.latency.labels(observer.route).observe(elapsed_s)
        log.debug("%s %s: %d after %.1f ms", method, path, observer.status, elapsed_s * 1e3)
