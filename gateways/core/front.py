"""What every request passes first: the key is checked, the answer counted and timed, and hot routes found at once."""

from __future__ import annotations

import hmac
import logging
import time
from collections.abc import Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.types import Message, Receive, Scope, Send

from gateways.core import metrics
from gateways.core.api.body import JsonRoute, json_response
from gateways.core.errors import GatewayError, Unauthorized

log = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/health", "/metrics"})


class Front(FastAPI):
    """
    FastAPI, with a shortcut to the routes that take a JSON body.

    Their handlers check the body, the deadline and every error themselves, so the middleware and the routing table
    of the framework, which would cost as much as all else that is not the model, have nothing to add. Whatever is
    not such a route, a wrong method or an unknown path included, goes the framework's way.
    """

    def __init__(self, keys: Sequence[str], routers: Sequence[APIRouter], **options: Any) -> None:
        super().__init__(**options)
        self._keys = [key.encode() for key in keys]
        self._shortcuts = {
            (method, route.path): route
            for router in routers
            for route in router.routes
            if isinstance(route, JsonRoute) and route.answer and "{" not in route.path
            for method in route.methods or ()
        }

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        started_s = time.perf_counter()
        status = 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        route = self._shortcuts.get((scope["method"], scope["path"]))
        try:
            if self._keys and scope["path"] not in OPEN_PATHS and not self._admits(scope):
                await _refusal(route)(scope, receive, counted)
            elif route:
                scope["app"] = self
                await (await _answer(route, Request(scope, receive)))(scope, receive, counted)
            else:
                await super().__call__(scope, receive, counted)
        finally:
            path = route.path if route else getattr(scope.get("route"), "path", "unmatched")
            metrics.requests.labels(path, status).inc()
            metrics.latency.labels(path).observe(time.perf_counter() - started_s)

    def _admits(self, scope: Scope) -> bool:
        sent = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        key = sent.removeprefix(b"Bearer ").strip()
        # All keys are compared, whichever fits: the time taken tells nothing.
        return any([hmac.compare_digest(key, known) for known in self._keys])  # noqa: C419


def bug() -> GatewayError:
    """Return what a client is told of an error that nobody foresaw; the log has the cause."""
    return GatewayError("this is a bug in the gateway; its log has the cause")


async def _answer(route: JsonRoute, request: Request) -> Response:
    assert route.answer  # noqa: S101 only such routes have a shortcut
    try:
        return await route.answer(request)
    except Exception:
        log.exception("%s %s", request.method, route.path)
        return route.error_response(bug())


def _refusal(route: JsonRoute | None) -> Response:
    error = Unauthorized("this gateway needs a key: send the header Authorization: Bearer <key>")
    return route.error_response(error) if route else json_response(error.body(), error.status, error.headers())
