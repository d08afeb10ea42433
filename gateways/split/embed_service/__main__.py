"""Run the embed service: `python -m gateways.split.embed_service`; EMBED_RUNTIME picks whose model file it loads."""

from __future__ import annotations

import importlib

from gateways.core.local import LocalBackend
from gateways.core.server import read_settings, serve
from gateways.split.embed_service.app import create_app

settings = read_settings()
runtime = importlib.import_module(f"gateways.{settings.embed_runtime}.model")
serve(create_app(LocalBackend(runtime, settings), settings), settings)
