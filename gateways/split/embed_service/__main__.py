"""Run the embed service: `python -m gateways.split.embed_service`; EMBED_RUNTIME picks whose model file it loads."""

from __future__ import annotations

import importlib

from gateways.core.app.server import read_main_settings, serve
from gateways.core.inference.local_backend import LocalBackend
from gateways.core.process_settings import EmbedServiceSettings
from gateways.split.embed_service.app import create_app

settings = read_main_settings(EmbedServiceSettings)
runtime = importlib.import_module(f"gateways.{settings.embed_runtime}.runtime")
serve(create_app(LocalBackend(runtime, settings), settings), settings)
