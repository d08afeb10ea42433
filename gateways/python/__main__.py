"""Run the torch monolith: `python -m gateways.python`."""

from __future__ import annotations

from gateways.core.local import LocalBackend
from gateways.core.server import read_settings, serve_gateway
from gateways.python import model

settings = read_settings()
serve_gateway("python", LocalBackend(model, settings), settings)
