"""Run an application as a process: one port, one line when it is up, exit code 0 on SIGTERM and Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
import threading
from types import FrameType

from gateways.core import lean  # noqa: F401  FastAPI comes after it

# isort: split
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.middleware.cors import CORSMiddleware

from gateways.core import logs, memory, tracing
from gateways.core.app import create_app
from gateways.core.backend import Backend
from gateways.core.connection import connection
from gateways.core.front import Front
from gateways.core.gateway import Gateway
from gateways.core.keys import read_keys
from gateways.core.settings import Settings

BACKLOG = 2_048


def read_settings() -> Settings:
    """Read the settings, or end the process with one line per wrong variable."""
    try:
        settings = Settings.read(os.environ)
        read_keys(settings)
    except ValidationError as error:
        for wrong in error.errors():
            name = "_".join(str(part) for part in wrong["loc"]).upper()
            said = f"{name}={wrong['input']!r}: " if name else ""
            print(f"{said}{wrong['msg'].removeprefix('Value error, ')}", file=sys.stderr)
        raise SystemExit(2) from None
    except ValueError as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    return settings


def serve_gateway(name: str, backend: Backend, settings: Settings) -> None:
    """Serve the whole contract over one backend until the process is told to stop."""
    serve(create_app(Gateway(name, backend, settings)), settings)


class Server(uvicorn.Server):
    """uvicorn's, which says for a while that it is about to go before it does."""

    def __init__(self, config: uvicorn.Config, app: FastAPI, drain_s: float) -> None:
        super().__init__(config)
        self._app = app
        self._drain_s = drain_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop after `drain_s`, which balancers have to notice; at once when told again."""
        if self._app.state.draining or not self._drain_s:
            super().handle_exit(sig, frame)
            return
        self._app.state.draining = True
        later = threading.Timer(self._drain_s, super().handle_exit, (sig, frame))
        later.daemon = True
        later.start()


def _allowing(app: FastAPI, origins: list[str]) -> CORSMiddleware:
    """Let pages of these origins call; a key goes in a header that scripts set, never in a cookie."""
    return CORSMiddleware(app, allow_origins=origins, allow_methods=["*"], allow_headers=["*"])


def serve(app: Front, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, let requests in flight finish, then exit: 0, or 1 when it could not start."""
    logs.start(settings)
    try:
        tracing.start(app.title)
    except tracing.TracingUnavailable as error:
        print(error, file=sys.stderr)
        raise SystemExit(2) from None
    memory.tune_malloc(settings.cores())
    origins = [origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()]
    server = Server(
        uvicorn.Config(
            _allowing(app, origins) if origins else app,
            host=settings.host,
            port=settings.port,
            loop="uvloop",
            # Pages of other origins read an answer only by header fields that a middleware adds.
            http=connection(settings.read_timeout_s, None if origins else app.refuse_at_once),
            ssl_certfile=settings.tls_certfile,
            ssl_keyfile=settings.tls_keyfile,
            lifespan="on",
            access_log=False,
            log_config=None,
            backlog=BACKLOG,
            timeout_graceful_shutdown=settings.shutdown_grace_s,
        ),
        app,
        settings.drain_s,
    )
    # uvicorn raises the signal again once it has stopped; by then it has been obeyed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    server.run()
    raise SystemExit(1 if app.state.start_error or not server.started else 0)
