"""Build the ASGI application of a process: its routes, its error handlers, its start and stop."""

from __future__ import annotations

import asyncio
import logging
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeAlias

from fastapi import APIRouter, FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException

import gateways
from gateways.core.api import embeddings, ingest, landing, models, operations, rerank, search, snapshots, sparse
from gateways.core.dialects import cohere, shared_paths, tei, unified_api
from gateways.core.errors import GatewayError, InvalidRequest, internal_error
from gateways.core.gateway import Gateway, count_damaged
from gateways.core.host import memory
from gateways.core.http import openapi
from gateways.core.http.api_keys import Keys, read_keys
from gateways.core.http.body_errors import describe
from gateways.core.http.fast_path import AdmissionControl, FastPathApp
from gateways.core.http.json_route import JsonRoute, error_response
from gateways.core.http.request_state import process_state
from gateways.core.process_settings import GatewaySettings
from gateways.core.settings import HttpSettings

log = logging.getLogger(__name__)

# Work of a process beside its requests. It runs until it is cancelled.
Background: TypeAlias = Callable[[], Coroutine[Any, Any, None]]


class ErrorDetail(BaseModel):
    """The message for people, the kind of error, the field that is wrong, and a code for programs."""

    message: str
    type: str
    param: str | None
    code: str


class ErrorAnswer(BaseModel):
    """The body of every error."""

    error: ErrorDetail


def create_app(gateway: Gateway) -> FastPathApp:
    """Return the application that serves the whole contract over one gateway."""
    resources = [resource.router(gateway) for resource in (embeddings, sparse, rerank, models, ingest, search)]
    dialects = [dialect.router(gateway) for dialect in (shared_paths, tei, unified_api, cohere)]
    probes = operations.probes(gateway, lambda: count_damaged(gateway.store))
    page = landing.router("embedding gateway", landing.GATEWAY_LINKS)
    routers = [*resources, *dialects, operations.config(gateway), snapshots.router(gateway), probes, page]
    admission = gateway.backend.refusal
    keys = read_keys(gateway.settings)
    background = _share_limits(keys, gateway.settings)
    start, stop = gateway.start, gateway.stop
    app = assemble(gateway.name, routers, gateway.settings, start, stop, admission, keys, background)
    openapi.document(app)
    return app


def assemble(
    name: str,
    routers: Sequence[APIRouter],
    settings: HttpSettings,
    start: Callable[[], Awaitable[object]],
    stop: Callable[[], Awaitable[object]],
    admission: AdmissionControl = lambda _, __: None,
    keys: Keys | None = None,
    background: Sequence[Background] = (),
) -> FastPathApp:
    """
    Return an application that listens at once while `start` runs in the background.

    If `start` raises, the reason is logged and the process ends, because it would never become ready. `stop` runs
    last. `admission` is passed to FastPathApp. `keys` are those of the settings by default. Each of `background` runs
    until the process ends.
    """
    app = FastPathApp(
        keys or read_keys(settings),
        settings,
        routers,
        admission,
        title=f"embedding gateway: {name}",
        version=gateways.__version__,
        lifespan=_lifespan(start, stop, [memory.keep_trimmed, *background]),
        # FastAPI's telemetry misses the requests of the fast path. `observe` sees all of them.
        telemetry={"tracing": False, "metrics": False, "logs": False},
        # FastAPI's pages load scripts from the internet. `openapi.document` adds a page that does not.
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
    )
    _include_routers(app, routers)
    _add_error_handlers(app)
    return app


def _include_routers(app: FastPathApp, routers: Sequence[APIRouter]) -> None:
    for router in routers:
        # Documenting all client errors at once also keeps FastAPI from documenting a 422 that is never sent.
        app.include_router(router, responses={"4XX": {"model": ErrorAnswer, "description": "What was wrong"}})


def _share_limits(keys: Keys, settings: GatewaySettings) -> list[Background]:
    """Return what shares the rate limits of keys with other gateways, if there are limits and a database."""
    if not settings.database_url or not keys.rate_limited():
        return []
    from gateways.core.app.shared_limits import SharedLimits  # needs the extra `pgvector`

    return [SharedLimits(keys, settings.database_url).run]


def _lifespan(
    start: Callable[[], Awaitable[object]], stop: Callable[[], Awaitable[object]], background: Sequence[Background]
) -> Callable[[FastAPI], AbstractAsyncContextManager[None]]:
    """Return the lifespan that runs `start` and all of `background` beside the requests, and `stop` at the end."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        tasks = [asyncio.create_task(work) for work in (_start(app, start), *(begin() for begin in background))]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await stop()

    return lifespan


async def _start(app: FastAPI, start: Callable[[], Awaitable[object]]) -> None:
    try:
        await start()
    except Exception as error:
        process_state(app).start_error = error
        log.critical("cannot start: %s", error, exc_info=log.isEnabledFor(logging.DEBUG))
        os.kill(os.getpid(), signal.SIGTERM)
    else:
        memory.settle()
        log.info("ready")


def _add_error_handlers(app: FastAPI) -> None:
    app.add_exception_handler(GatewayError, _on_gateway_error)
    app.add_exception_handler(HTTPException, _on_http_error)
    app.add_exception_handler(RequestValidationError, _on_validation_error)
    app.add_exception_handler(Exception, _on_unexpected_error)


async def _on_gateway_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, GatewayError)  # noqa: S101 the handler is registered for it
    route = request.scope.get("route")
    return route.error_response(error) if isinstance(route, JsonRoute) else error_response(error)


async def _on_http_error(request: Request, error: Exception) -> Response:
    """Return the response to what Starlette refuses. Unknown paths and methods do not come so far."""
    assert isinstance(error, HTTPException)  # noqa: S101 the handler is registered for it
    return error_response(InvalidRequest(str(error.detail)))


async def _on_validation_error(request: Request, error: Exception) -> Response:
    """Return the response to a wrong query string or path. JsonRoute checks the bodies."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 the handler is registered for it
    first = error.errors()[0]
    param = ".".join(str(part) for part in first["loc"][1:])
    return error_response(InvalidRequest(f"{param} {describe(first)}.", param=param))


async def _on_unexpected_error(request: Request, error: Exception) -> Response:
    """Return the response to an exception that has no other handler. The server logs the cause."""
    return error_response(internal_error())
