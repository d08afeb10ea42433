"""From routes to an ASGI application: errors, keys, metrics, start and stop."""

from __future__ import annotations

import asyncio
import hmac
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp, Message, Receive, Scope, Send

import gateways
from gateways.core import metrics
from gateways.core.api import embeddings, ingest, models, ops, rerank, search, sparse
from gateways.core.api.body import json_response
from gateways.core.errors import GatewayError, InvalidRequest, MethodNotAllowed, NotFound, Unauthorized
from gateways.core.gateway import Gateway
from gateways.core.settings import Settings

log = logging.getLogger(__name__)


class ErrorDetail(BaseModel):
    """What was wrong, of which kind, where, and a word for programs."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorAnswer(BaseModel):
    """The body of every error."""

    error: ErrorDetail


OPEN_PATHS = frozenset({"/healthz", "/readyz", "/metrics"})


def create_app(gateway: Gateway) -> FastAPI:
    """Return the whole contract over one gateway."""
    resources = [resource.router(gateway) for resource in (embeddings, sparse, rerank, models, ingest, search)]
    routers = [*resources, ops.config(gateway), ops.probes(gateway)]
    return assemble(gateway.name, routers, gateway.settings, gateway.start, gateway.stop)


def assemble(
    name: str,
    routers: Sequence[APIRouter],
    settings: Settings,
    start: Callable[[], Awaitable[object]],
    stop: Callable[[], Awaitable[object]],
) -> FastAPI:
    """
    Return an application that listens at once while `start` runs behind it.

    When `start` raises, the reason is logged and the process ends: it would never become ready.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        app.state.starting = asyncio.create_task(_start(app, start))
        yield
        app.state.starting.cancel()
        await asyncio.gather(app.state.starting, return_exceptions=True)
        await stop()

    app = FastAPI(title=f"embedding gateway: {name}", version=gateways.__version__, lifespan=lifespan)
    app.state.settings = settings
    app.state.start_error = None
    for router in routers:
        # Documenting all client errors at once also keeps FastAPI from promising a 422 that never comes.
        app.include_router(router, responses={"4XX": {"model": ErrorAnswer, "description": "What was wrong"}})
    app.add_exception_handler(GatewayError, _on_gateway_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(Exception, _on_bug)
    app.add_middleware(Gate, keys=[key.strip().encode() for key in settings.api_keys.split(",") if key.strip()])
    return app


async def _start(app: FastAPI, start: Callable[[], Awaitable[object]]) -> None:
    try:
        await start()
    except Exception as error:
        app.state.start_error = error
        log.critical("cannot start: %s", error, exc_info=log.isEnabledFor(logging.DEBUG))
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        log.info("ready")


class Gate:
    """What every request passes: the key is checked, the answer counted and timed by route."""

    def __init__(self, app: ASGIApp, keys: Sequence[bytes]) -> None:
        self._app = app
        self._keys = keys

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started_s = time.perf_counter()
        status = 500

        async def counted(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            if self._keys and scope["path"] not in OPEN_PATHS and not self._admits(scope):
                await _error_response(_no_key())(scope, receive, counted)
            else:
                await self._app(scope, receive, counted)
        finally:
            route = getattr(scope.get("route"), "path", "unmatched")
            metrics.requests.labels(route, status).inc()
            metrics.latency.labels(route).observe(time.perf_counter() - started_s)

    def _admits(self, scope: Scope) -> bool:
        sent = next((value for name, value in scope["headers"] if name == b"authorization"), b"")
        key = sent.removeprefix(b"Bearer ").strip()
        # All keys are compared, whichever fits: the time taken tells nothing.
        return any([hmac.compare_digest(key, known) for known in self._keys])  # noqa: C419


def _no_key() -> Unauthorized:
    return Unauthorized("this gateway needs a key: send the header Authorization: Bearer <key>")


def _error_response(error: GatewayError) -> Response:
    return json_response(error.body(), error.status, error.headers())


async def _on_gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)  # noqa: S101 the handler is registered for it
    return _error_response(error)


async def _on_http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101 the handler is registered for it
    if error.status_code == 405:
        allowed = (error.headers or {}).get("Allow", "other methods")
        wrong = MethodNotAllowed(f"{request.url.path} does not answer to {request.method}; it answers to {allowed}.")
        response = _error_response(wrong)
        response.headers["Allow"] = allowed
        return response
    if error.status_code == 404:
        return _error_response(
            NotFound(f"there is no route {request.url.path}; /docs lists all.", code="unknown_route")
        )
    return _error_response(InvalidRequest(str(error.detail)))


async def _on_validation_error(request: Request, error: Exception) -> Response:
    """Bad query strings and paths; bodies never come here."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 the handler is registered for it
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"][1:])
    return _error_response(InvalidRequest(f"{where}: {first['msg']}.", param=where))


async def _on_bug(request: Request, error: Exception) -> Response:
    """Answer what no other handler knows; the server logs the cause."""
    return _error_response(GatewayError("this is a bug in the gateway; its log has the cause"))
