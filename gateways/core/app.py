"""From routes to an ASGI application: errors, keys, metrics, start and stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

import gateways
from gateways.core import memory, openapi
from gateways.core.api import embeddings, ingest, models, ops, rerank, search, sparse
from gateways.core.api.body import JsonRoute, json_response
from gateways.core.dialects import cohere, tei, unified, unprefixed
from gateways.core.errors import GatewayError, InvalidRequest, MethodNotAllowed, NotFound
from gateways.core.front import Front, bug
from gateways.core.gateway import Gateway
from gateways.core.keys import read_keys
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


def create_app(gateway: Gateway) -> Front:
    """Return the whole contract over one gateway."""
    resources = [resource.router(gateway) for resource in (embeddings, sparse, rerank, models, ingest, search)]
    others = [dialect.router(gateway) for dialect in (unprefixed, tei, unified, cohere)]
    routers = [*resources, *others, ops.config(gateway), ops.probes(gateway)]
    refusal = gateway.backend.refusal
    app = assemble(gateway.name, routers, gateway.settings, gateway.start, gateway.stop, refusal)
    openapi.document(app)
    return app


def assemble(
    name: str,
    routers: Sequence[APIRouter],
    settings: Settings,
    start: Callable[[], Awaitable[object]],
    stop: Callable[[], Awaitable[object]],
    refusal: Callable[[float, int], GatewayError | None] = lambda _, __: None,
) -> Front:
    """
    Return an application that listens at once while `start` runs behind it.

    When `start` raises, the reason is logged and the process ends: it would never become ready. `refusal` is what
    `Front` asks.
    """

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        behind = [asyncio.create_task(_start(app, start)), asyncio.create_task(memory.keep_trimmed())]
        yield
        for task in behind:
            task.cancel()
        await asyncio.gather(*behind, return_exceptions=True)
        await stop()

    app = Front(
        read_keys(settings),
        settings,
        routers,
        refusal,
        title=f"embedding gateway: {name}",
        version=gateways.__version__,
        lifespan=lifespan,
        # Its own tell of requests that take its way only, and many do not; ours are `observed`.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        # These load their scripts from elsewhere; `openapi.document` adds a page that does not.
        docs_url=None,
        redoc_url=None,
    )
    app.state.settings = settings
    app.state.start_error = None
    app.state.draining = False
    for router in routers:
        # Documenting all client errors at once also keeps FastAPI from promising a 422 that never comes.
        app.include_router(router, responses={"4XX": {"model": ErrorAnswer, "description": "What was wrong"}})
    app.add_exception_handler(GatewayError, _on_gateway_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(Exception, _on_bug)
    return app


async def _start(app: FastAPI, start: Callable[[], Awaitable[object]]) -> None:
    try:
        await start()
    except Exception as error:
        app.state.start_error = error
        log.critical("cannot start: %s", error, exc_info=log.isEnabledFor(logging.DEBUG))
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        memory.settle()
        log.info("ready")


def _error_response(error: GatewayError) -> Response:
    return json_response(error.body(), error.status, error.headers())


async def _on_gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)  # noqa: S101 the handler is registered for it
    route = request.scope.get("route")
    return route.error_response(error) if isinstance(route, JsonRoute) else _error_response(error)


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
    return _error_response(bug())
