"""Observe a request: its headers of the response, its metrics, its log line and its trace."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Self

from starlette.types import Message, Scope

from gateways.core.observability import logs, metrics, stage_timing, tracing

log = logging.getLogger(__name__)


class RequestObserver:
    """
    Observes a request until its response is sent: the context of `with`.

    Its server sets `route` and `status`. `sent_id` is the X-Request-Id of the client, which may be empty or invalid.
    """

    __slots__ = ("_scope", "_span", "_span_context", "_started_s", "request_id", "route", "stage_s", "status")

    def __init__(self, scope: Scope, sent_id: bytes) -> None:
        self.request_id = logs.begin(sent_id)
        self.stage_s = stage_timing.begin()
        self.route = "unmatched"
        self.status = 500
        self._scope = scope

    def __enter__(self) -> Self:
        self._started_s = time.perf_counter()
        metrics.in_flight.inc()
        self._span_context = tracing.request(self._scope["method"], self._scope["path"], self._scope["headers"])
        if self._span_context:
            self._span = self._span_context.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        method = self._scope["method"]
        if self._span_context:
            tracing.end_request(self._span, method, self.route, self.status)
            self._span_context.__exit__(kind, error, traceback)
        elapsed_s = time.perf_counter() - self._started_s
        metrics.in_flight.dec()
        metrics.count_request(self.route, self.status, elapsed_s)
        log.debug("%s %s: %d after %.1f ms", method, self._scope["path"], self.status, elapsed_s * 1e3)

    def start_response(self, message: Message, *, last: bool) -> None:
        """Note the status of a response, and add headers to it. `last` closes the connection after the response."""
        self.status = message["status"]
        headers = [(b"x-request-id", self.request_id)]
        if self.stage_s:
            headers.append((b"server-timing", stage_timing.server_timing(self.stage_s)))
        if last:
            headers.append((b"connection", b"close"))
        message["headers"] = [*message["headers"], *headers]
