"""Run an application as a process: one port, one line when it is up, exit code 0 on SIGTERM and Ctrl-C."""

from __future__ import annotations

import logging
import os
import signal
import sys

from gateways.core import lean  # noqa: F401  FastAPI comes after it

# isort: split
import uvicorn
from fastapi import FastAPI
from pydantic import ValidationError

from gateways.core import memory
from gateways.core.app import create_app
from gateways.core.backend import Backend
from gateways.core.gateway import Gateway
from gateways.core.settings import Settings

BACKLOG = 2_048


def read_settings() -> Settings:
    """Read the settings, or end the process with one line per wrong variable."""
    try:
        return Settings.read(os.environ)
    except ValidationError as error:
        for wrong in error.errors():
            name = "_".join(str(part) for part in wrong["loc"]).upper()
            print(f"{name}={wrong['input']!r}: {wrong['msg']}", file=sys.stderr)
        raise SystemExit(2) from None


def serve_gateway(name: str, backend: Backend, settings: Settings) -> None:
    """Serve the whole contract over one backend until the process is told to stop."""
    serve(create_app(Gateway(name, backend, settings)), settings)


def serve(app: FastAPI, settings: Settings) -> None:
    """Serve until SIGTERM or SIGINT, let requests in flight finish, then exit: 0, or 1 when it could not start."""
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr
    )
    memory.tune_malloc(settings.cores())
    server = uvicorn.Server(
        uvicorn.Config(
            app,
            host=settings.host,
            port=settings.port,
            loop="uvloop",
            http="httptools",
            lifespan="on",
            access_log=False,
            log_config=None,
            backlog=BACKLOG,
            timeout_graceful_shutdown=settings.shutdown_grace_s,
        )
    )
    # uvicorn raises the signal again once it has stopped; by then it has been obeyed.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: None)
    server.run()
    raise SystemExit(1 if app.state.start_error or not server.started else 0)
