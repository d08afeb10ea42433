"""Run the ONNX monolith: `python -m gateways.onnx_py`."""

from __future__ import annotations

from gateways.core.local import LocalBackend
from gateways.core.server import read_settings, serve_gateway
from gateways.onnx_py import model

settings = read_settings()
serve_gateway("onnx_py", LocalBackend(model, settings), settings)
