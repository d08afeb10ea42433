"""Run the torch monolith: `python -m gateways.python`."""

from __future__ import annotations

from gateways.core.app.server import read_main_settings, serve_gateway
from gateways.core.inference.local_backend import LocalBackend
from gateways.core.process_settings import ModelGatewaySettings
from gateways.python import runtime

settings = read_main_settings(ModelGatewaySettings)
serve_gateway("python", LocalBackend(runtime, settings), settings)
