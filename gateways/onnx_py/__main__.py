"""Run the ONNX monolith: `python -m gateways.onnx_py`."""

from __future__ import annotations

from functools import partial

from gateways.core.local import LocalBackend
from gateways.core.server import read_settings, serve_gateway
from gateways.onnx_py.model import load

settings = read_settings()
serve_gateway("onnx_py", LocalBackend(partial(load, settings), settings), settings)
