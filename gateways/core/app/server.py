"""Run an application as a process: one port, exit code 0 after SIGTERM or Ctrl-C, 2 for wrong settings."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import TypeVar

from gateways.core.app import trimmed_imports  # noqa: F401  before FastAPI

# isort: split
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError
from starlette.middleware.cors import CORSMiddleware

from gateways.core.app.create_app import create_app
from gateways.core.app.listeners import CannotListen, listen
from gateways.core.backend import Backend
from gateways.core.gateway import Gateway
from gateways.core.host import memory, open_files
from gateways.core.http.api_keys import read_keys
from gateways.core.http.connection import connection_class
from gateways.core.http.fast_path import FastPathApp
from gateways.core.http.open_connections import OpenConnections
from gateways.core.http.request_state import ProcessState, process_state
from gateways.core.observability import logs, tracing
from gateways.core.process_settings import GatewaySettings, ProcessSettings, refusals, usage
from gateways.core.settings import HttpSettings, Settings

log = logging.getLogger(__name__)

# Connections that the kernel holds until the server accepts them.
BACKLOG = 2_048
_LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
# The headers of our own that a web page may read.
EXPOSED_HEADERS = ("Retry-After", "X-Request-Id", "Server-Timing")
P = TypeVar("P", bound=ProcessSettings)
S = TypeVar("S", bound=Settings)


def read_main_settings(kind: type[P]) -> P:
    """Return the settings of this process, which takes no argument but --help. Ends as `read_process_settings`."""
    _refuse_arguments(kind, sys.argv[1:])
    return read_process_settings(kind)


def read_process_settings(kind: type[P]) -> P:
    """Return the settings of a process. A wrong or ignored variable ends it: one line each, exit code 2."""
    lines = refusals(kind, os.environ)
    try:
        settings = kind.read(os.environ)
        read_keys(settings)
    except ValidationError as error:
        raise _exit([*lines, *_error_lines(error)]) from None
    except ValueError as error:
        raise _exit([*lines, str(error)]) from None
    if lines:
        raise _exit(lines)
    return settings


def _refuse_arguments(kind: type[ProcessSettings], arguments: Sequence[str]) -> None:
    """Print the settings for --help and end. An argument would be ignored, so any other one ends the process."""
    if arguments in (["--help"], ["-h"]):
        print(usage(kind))
        raise SystemExit(0)
    if arguments:
        raise _exit([f"{' '.join(arguments)}: settings are environment variables, not arguments; --help lists them"])


def read_settings(kind: type[S]) -> S:
    """Return the settings of a command, which may run in the environment of any process. Ends as a process does."""
    try:
        return kind.read(os.environ)
    except ValidationError as error:
        raise _exit(_error_lines(error)) from None


def _error_lines(error: ValidationError) -> list[str]:
    """Return a line for each wrong variable."""
    lines = []
    for wrong in error.errors():
        variable = "_".join(str(part) for part in wrong["loc"]).upper()
        prefix = f"{variable}={wrong['input']!r}: " if variable else ""
        lines.append(prefix + wrong["msg"].removeprefix("Value error, "))
    return lines


def _exit(lines: Sequence[str]) -> SystemExit:
    print("\n".join(lines), file=sys.stderr)
    return SystemExit(2)


def serve_gateway(name: str, backend: Backend, settings: GatewaySettings) -> None:
    """Serve the whole contract over one backend until SIGTERM or SIGINT."""
    serve(create_app(Gateway(name, backend, settings)), settings)


class Server(uvicorn.Server):
    """uvicorn's server with a drain phase: /readyz answers 503 for `drain_s` before the server stops."""

    def __init__(self, config: uvicorn.Config, state: ProcessState, drain_s: float) -> None:
        super().__init__(config)
        self._state = state
        self._drain_s = drain_s

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop after `drain_s`, the time that a load balancer needs to notice. A second signal stops at once."""
        if self._state.draining or not self._drain_s:
            super().handle_exit(sig, frame)
            return
        self._state.draining = True
        timer = threading.Timer(self._drain_s, super().handle_exit, (sig, frame))
        timer.daemon = True
        timer.start()


def serve(app: FastPathApp, settings: HttpSettings) -> None:
    """Serve until SIGTERM or SIGINT. Exits with 0 once the requests in flight are answered, 1 if it cannot start."""
    logs.start(settings)
    try:
        tracing.start(app.title)
    except tracing.TracingUnavailable as error:
        raise _exit([str(error)]) from None
    listeners = _open_port(settings)
    scheme = "https" if settings.tls_certfile else "http"
    for listener in listeners:
        log.info("listening on %s://%s:%d", scheme, *listener.getsockname()[:2])
    keys = read_keys(settings)
    if keys.limited() and settings.metrics_access == "open":
        log.warning("keys are limited to collections, and METRICS_ACCESS=open tells everyone what all of them do")
    if not keys:
        level = logging.INFO if settings.host in _LOOPBACK else logging.WARNING
        log.log(level, "no keys: everyone who reaches %s is let in; set API_KEYS or API_KEYS_FILE", settings.host)
    open_files.raise_limit()
    memory.tune_malloc(settings.cores())
    state = process_state(app)
    server = Server(_server_config(app, settings), state, settings.drain_s)
    # uvicorn raises the signal again after it has stopped. Ignoring it keeps the exit code 0.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    server.run(listeners)
    raise SystemExit(1 if state.start_error or not server.started else 0)


def _open_port(settings: HttpSettings) -> list[socket.socket]:
    try:
        return listen(settings.host, settings.port, BACKLOG)
    except CannotListen as error:
        raise _exit([str(error)]) from None


def _server_config(app: FastPathApp, settings: HttpSettings) -> uvicorn.Config:
    origins = [origin.strip() for origin in settings.cors_origins.split(",") if origin.strip()]
    return uvicorn.Config(
        _allow_origins(app, origins) if origins else app,
        host=settings.host,
        port=settings.port,
        loop="uvloop",
        # Early rejection skips the middleware, and so the CORS headers without which a page cannot read the answer.
        http=connection_class(
            settings.read_timeout_s,
            OpenConnections(open_files.most_connections(settings.max_connections), settings.write_timeout_s),
            None if origins else app.reject_from_headers,
        ),
        ws="none",
        timeout_keep_alive=settings.keep_alive_s,
        # Clients that read it close an idle connection first, and never send a request into one that is closing.
        headers=[("Keep-Alive", f"timeout={settings.keep_alive_s}")],
        ssl_certfile=settings.tls_certfile,
        ssl_keyfile=settings.tls_keyfile,
        lifespan="on",
        access_log=False,
        log_config=None,
        backlog=BACKLOG,
        timeout_graceful_shutdown=settings.shutdown_grace_s,
    )


def _allow_origins(app: FastAPI, origins: list[str]) -> CORSMiddleware:
    """Let web pages of `origins` call. No cookies: a page sends its key in a header."""
    return CORSMiddleware(
        app, allow_origins=origins, allow_methods=["*"], allow_headers=["*"], expose_headers=EXPOSED_HEADERS
    )
