"""FastAPI with a fast path: authentication and load shedding first, then a table lookup for the busiest routes."""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

from fastapi import APIRouter, FastAPI, Request, Response
from starlette.requests import ClientDisconnect
from starlette.types import Message, Receive, Scope, Send

from gateways.core import tenants
from gateways.core.errors import GatewayError, NotFound, internal_error
from gateways.core.http import request_state
from gateways.core.http.api_keys import Keys, required_scope
from gateways.core.http.digits import parse_digits
from gateways.core.http.json_route import JsonRoute
from gateways.core.http.open_connections import PROBE_PATHS
from gateways.core.http.raw_answers import RawAnswer
from gateways.core.http.refusals import Refusals
from gateways.core.http.request_headers import TIMEOUT_HEADER, headers_by_name
from gateways.core.http.route_table import RouteTable
from gateways.core.observability import metrics
from gateways.core.observability.request_observer import RequestObserver
from gateways.core.settings import HttpSettings

log = logging.getLogger(__name__)

DOCS_PATHS = frozenset({"/docs", "/docs/{name}", "/openapi.json"})
# Tags of the routes that run no model.
_MODEL_FREE_TAGS = frozenset({"documents", "collections"})
# Maximum bytes of a body that load shedding counts as short: a query, not an ingest.
_SHORT_BYTES = 4_096
# Logged for a request whose client disconnected, as nginx does.
CLIENT_CLOSED_REQUEST = 499

# Admission control: (timeout in seconds, bytes admitted and not queued yet) -> the 429, None to admit a request.
AdmissionControl: TypeAlias = Callable[[float, int], GatewayError | None]


class FastPathApp(FastAPI):
    """
    FastAPI with a fast path to the routes that take a JSON body.

    A handler of such a route checks the body, the deadline and every error itself. Middleware and FastAPI's routing
    would cost as much as all other work outside the model. Every other request takes the path of FastAPI.

    `admission` decides over a short request for the model before its body is read.
    """

    def __init__(
        self,
        keys: Keys,
        settings: HttpSettings,
        routers: Sequence[APIRouter],
        admission: AdmissionControl,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self._keys = keys
        self._admission = admission
        self._process = request_state.attach_process_state(self, settings)
        self._refusals = Refusals()
        self._admitted_bytes = 0
        self._access = {"/metrics": settings.metrics_access, **dict.fromkeys(DOCS_PATHS, settings.docs_access)}
        self._fast_routes = {
            (method, route.path): (route, not _MODEL_FREE_TAGS.intersection(route.tags))
            for router in routers
            for route in router.routes
            if isinstance(route, JsonRoute) and route.answer and "{" not in route.path
            for method in route.methods or ()
        }
        self._table = RouteTable()
        self._table.add(self.routes)

    def include_router(self, router: APIRouter, **options: Any) -> None:
        """Add the routes of a router."""
        super().include_router(router, **options)
        self._table.add(router.routes)

    def reject_from_headers(self, scope: Scope, unread_s: float = 0.0) -> RawAnswer | None:
        """
        Return the answer that rejects a request for the model, None if `__call__` must decide.

        The request has waited for `unread_s` already.

        Under overload most requests end here. A task for each would take time from the requests that are served.
        """
        route, runs_model = self._fast_routes.get((scope["method"], scope["path"]), (None, False))
        if not route or not runs_model or self._process.draining:
            return None
        error = self._authenticate(scope, route.path) or self._shed_load(scope, unread_s)
        if error:
            return self._refusals.answer(route, error, scope)
        request_state.mark_admitted(scope)
        self._count_admitted(scope)
        return None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await super().__call__(scope, receive, send)
            return
        with _observe(scope) as observer:
            await self._serve(scope, receive, send, observer)

    async def _serve(self, scope: Scope, receive: Receive, send: Send, observer: RequestObserver) -> None:
        async def send_observed(message: Message) -> None:
            if message["type"] == "http.response.start":
                # A draining process closes the connection, so that the client's next request goes elsewhere.
                observer.start_response(message, last=self._process.draining)
            await send(message)

        scope, template = self._resolve(scope)
        route, runs_model = self._fast_routes.get((scope["method"], scope["path"]), (None, False))
        if runs_model:
            request_state.set_task(scope)  # routes that change data finish even if the client disconnects
        try:
            if error := self._admit(scope, template, runs_model):
                await self._table.error_response(error, template)(scope, receive, send_observed)
            elif route:
                scope["app"] = self
                await (await _answer(route, Request(scope, receive)))(scope, receive, send_observed)
            elif refusal := self._table.refusal(scope["method"], scope["path"], template):
                await refusal(scope, receive, send_observed)
            else:
                await super().__call__(scope, receive, send_observed)
        except asyncio.CancelledError:
            if not await _is_disconnected(receive):
                raise
            observer.status = CLIENT_CLOSED_REQUEST
        except ClientDisconnect:
            observer.status = CLIENT_CLOSED_REQUEST
        finally:
            observer.route = template or observer.route

    def _admit(self, scope: Scope, template: str | None, runs_model: bool) -> GatewayError | None:
        """Let the task of a request work for its tenant. Returns the error of a refused request, else None."""
        error = None if request_state.admitted(scope) else self._authenticate(scope, template)  # charged once
        if tenant := request_state.tenant(scope):
            tenants.enter(tenant)
        return error or (self._shed_load(scope) if runs_model else None)

    def _resolve(self, scope: Scope) -> tuple[Scope, str | None]:
        """Return the scope of the route that serves a request, and the route's template."""
        if (scope["method"], scope["path"]) in self._fast_routes:
            return scope, scope["path"]
        path, template = self._table.resolve(scope["path"])
        scope["path"] = path
        methods = self._table.methods(template)
        if scope["method"] == "HEAD" and "HEAD" not in methods and "GET" in methods:
            # The connection, which has the scope of before, leaves out the body.
            scope = {**scope, "method": "GET"}
        return scope, template

    def _authenticate(self, scope: Scope, template: str | None) -> GatewayError | None:
        """Charge the request to its API key. Returns the error of a request without the right, else None."""
        access = self._access.get(template or "")
        if access == "off":
            return NotFound(f"there is no route {scope['path']} here", code="unknown_route")
        method = scope["method"]
        # A load balancer asks at "/", and a person who only has the address.
        is_open = access == "open" or template in PROBE_PATHS or (template == "/" and method == "GET")
        if not self._keys or is_open:
            return None
        needed = "admin" if template == "/metrics" else required_scope(method, template or "")
        key = self._keys.authorize(scope["headers"], needed)
        if isinstance(key, GatewayError):
            return key
        request_state.set_tenant(scope, key.tenant)
        return None

    def _shed_load(self, scope: Scope, unread_s: float = 0.0) -> GatewayError | None:
        """Return the 429 of a short request that would wait too long for the model, else None."""
        if (error := self._admission(_timeout_s(scope) - unread_s, self._admitted_bytes)) and _short_length(scope):
            metrics.refusals.inc()
            return error
        return None

    def _count_admitted(self, scope: Scope) -> None:
        """Add a request to the admitted bytes until the tasks of all requests of this batch of reads have run."""
        if not self._admitted_bytes:
            asyncio.get_running_loop().call_soon(self._reset_admitted)
        self._admitted_bytes += _short_length(scope)

    def _reset_admitted(self) -> None:
        self._admitted_bytes = 0


async def _answer(route: JsonRoute, request: Request) -> Response:
    assert route.answer  # noqa: S101 only such routes are in the table of the fast path
    try:
        return await route.answer(request)
    except ClientDisconnect:
        raise
    except Exception:
        log.exception("%s %s", request.method, route.path)
        return route.error_response(internal_error())


async def _is_disconnected(receive: Receive) -> bool:
    """Return whether the client has disconnected. Otherwise nothing follows the body, and the wait times out."""
    try:
        async with asyncio.timeout(0):
            return bool((await receive())["type"] == "http.disconnect")
    except TimeoutError:
        return False


def _observe(scope: Scope) -> RequestObserver:
    return RequestObserver(scope, headers_by_name(scope).get(b"x-request-id", b""))


def _timeout_s(scope: Scope) -> float:
    """Return the X-Request-Timeout-Ms of a request in seconds. Its route rejects a value that is no number."""
    milliseconds = parse_digits(headers_by_name(scope).get(TIMEOUT_HEADER, b""))
    return math.inf if milliseconds is None else milliseconds / 1e3


def _short_length(scope: Scope) -> int:
    """Return the Content-Length of a short body in bytes, 0 if it is longer or absent."""
    length = parse_digits(headers_by_name(scope).get(b"content-length", b""))
    return length if length and length <= _SHORT_BYTES else 0
