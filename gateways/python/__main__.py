"""Run the torch monolith: `python -m gateways.python`."""

from __future__ import annotations

from functools import partial

from gateways.core.local import LocalBackend
from gateways.core.server import read_settings, serve_gateway
from gateways.python.model import load

settings = read_settings()
serve_gateway("python", LocalBackend(partial(load, settings), settings), settings)
