"""Run the ONNX monolith: `python -m gateways.onnx_py`."""

from __future__ import annotations

from gateways.core.app.server import read_main_settings, serve_gateway
from gateways.core.inference.local_backend import LocalBackend
from gateways.core.process_settings import ModelGatewaySettings
from gateways.onnx_py import runtime

settings = read_main_settings(ModelGatewaySettings)
serve_gateway("onnx_py", LocalBackend(runtime, settings), settings)
