"""What every request passes first: keys and load are checked, answers counted and timed, hot routes found at once."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.types import Message, Receive, Scope, Send

from gateways.core import metrics
from gateways.core.api.body import TIMEOUT_HEADER, JsonRoute, json_response
from gateways.core.connection import TASK
from gateways.core.errors import GatewayError, NotFound
from gateways.core.keys import Keys, scope_of
from gateways.core.observed import Observed, observing
from gateways.core.settings import Settings

log = logging.getLogger(__name__)

OPEN_PATHS = frozenset({"/healthz", "/readyz", "/health"})
DOCS_PATHS = frozenset({"/docs", "/openapi.json"})
# Tags of routes that need no model to answer; and the longest body of a request that others wait behind for short.
_NO_MODEL = frozenset({"documents", "collections"})
_SHORT_BYTES = 4_096
# Where a request's scope says that its key was looked at: a key's requests are counted once.
_KNOWN = "gateways.known"
# Nobody reads the answer; the number is what web servers log then.
CLIENT_GONE = 499


class Front(FastAPI):
    """
    FastAPI, with a shortcut to the routes that take a JSON body.

    Their handlers check the body, the deadline and every error themselves, so the middleware and the routing table
    of the framework, which would cost as much as all else that is not the model, have nothing to add. Whatever is
    not such a route, a wrong method or an unknown path included, goes the framework's way.

    `refusal` says what a short request that needs a model, and may take so many seconds, is refused with, unread,
    while too much waits for it.
    """

    def __init__(
        self,
        keys: Keys,
        settings: Settings,
        routers: Sequence[APIRouter],
        refusal: Callable[[float, int], GatewayError | None],
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._keys = keys
        self._refusal = refusal
        self._coming_bytes = 0
        self._access = {"/metrics": settings.metrics_access, **dict.fromkeys(DOCS_PATHS, settings.docs_access)}
        self._shortcuts = {
            (method, route.path): (route, not _NO_MODEL.intersection(route.tags))
            for router in routers
            for route in router.routes
            if isinstance(route, JsonRoute) and route.answer and "{" not in route.path
            for method in route.methods or ()
        }

    def refuse_at_once(self, scope: Scope) -> Response | None:
        """
        Return the answer to a request for the model that is not let in, None where it is or where `__call__` says.

        For a server that has its head and nothing else: under overload most requests end here, and a task for each
        would take time from those that are served.
        """
        route, computes = self._shortcuts.get((scope["method"], scope["path"]), (None, False))
        if not route or not computes or self.state.draining:
            return None
        refused = self._unknown(scope) or self._overloaded(scope)
        if not refused:
            scope[_KNOWN] = True
            self._let_in(scope)
            return None
        with observing(scope) as seen:
            response = route.error_response(refused)
            seen.route = route.path
            begun: Message = {"status": response.status_code, "headers": response.raw_headers}
            seen.begin_answer(begun, last=False)
            response.raw_headers = begun["headers"]
        return response

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        with observing(scope) as seen:
            await self._serve(scope, receive, send, seen)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, seen: Observed) -> None:
        async def observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                # Once it is about to go, the next request of a client is for another process.
                seen.begin_answer(message, last=self.state.draining)
            await send(message)

        route, computes = self._shortcuts.get((scope["method"], scope["path"]), (None, False))
        if computes:
            scope[TASK] = asyncio.current_task()  # to be given up with the connection; what changes anything is not
        try:
            # Whoever was let in by the head alone is asked again: what came with it may be more than it looked.
            refused = None if _KNOWN in scope else self._unknown(scope)
            if computes and not refused:
                refused = self._overloaded(scope)
            if refused:
                await _refuse(refused, route)(scope, receive, observed)
            elif route:
                scope["app"] = self
                await (await _answer(route, Request(scope, receive)))(scope, receive, observed)
            else:
                await super().__call__(scope, receive, observed)
        except asyncio.CancelledError:
            if not await _gone(receive):
                raise
            seen.status = CLIENT_GONE
        finally:
            seen.route = route.path if route else getattr(scope.get("route"), "path", seen.route)

    def _unknown(self, scope: Scope) -> GatewayError | None:
        """Return why a request is not for whoever sends it, None where it is; counts it on its key."""
        path = scope["path"]
        if self._access.get(path) == "off":
            return NotFound(f"there is no route {path} here", code="unknown_route")
        if self._keys and path not in OPEN_PATHS and self._access.get(path) != "open":
            needed = "admin" if path == "/metrics" else scope_of(scope["method"], path)
            return self._keys.refusal(scope["headers"], needed)
        return None

    def _overloaded(self, scope: Scope) -> GatewayError | None:
        """Return why a short request for the model would wait too long, None where it would not."""
        if (refused := self._refusal(_within_s(scope), self._coming_bytes)) and _length(scope):
            metrics.refusals.inc()
            return refused
        return None

    def _let_in(self, scope: Scope) -> None:
        """Count a short request as coming until the tasks of all whose heads came with its own run."""
        if not self._coming_bytes:
            asyncio.get_running_loop().call_soon(self._have_come)
        self._coming_bytes += _length(scope)

    def _have_come(self) -> None:
        self._coming_bytes = 0


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


async def _gone(receive: Receive) -> bool:
    """Whether the client has hung up: only then there is something to receive after the body."""
    try:
        async with asyncio.timeout(0):
            return bool((await receive())["type"] == "http.disconnect")
    except TimeoutError:
        return False


def _within_s(scope: Scope) -> float:
    """Return the seconds that a request says it may take; what is no number, its route refuses."""
    said = next((value for name, value in scope["headers"] if name == TIMEOUT_HEADER), b"")
    return int(said) / 1e3 if said.isdigit() else math.inf


def _length(scope: Scope) -> int:
    """Return the bytes of a short body, 0 where it is longer or does not say."""
    said = next((value for name, value in scope["headers"] if name == b"content-length"), b"")
    return int(said) if said.isdigit() and int(said) <= _SHORT_BYTES else 0


def _refuse(error: GatewayError, route: JsonRoute | None) -> Response:
    return route.error_response(error) if route else json_response(error.body(), error.status, error.headers())
