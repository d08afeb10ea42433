"""Run the thin gateway: `python -m gateways.split.gateway`; without EMBEDDING_API_URL its vectors are pseudo."""

from __future__ import annotations

from gateways.core.app.server import read_main_settings, serve_gateway
from gateways.core.inference.pseudo_backend import PseudoBackend
from gateways.core.process_settings import ThinGatewaySettings

settings = read_main_settings(ThinGatewaySettings)
if settings.embedding_api_url:
    from gateways.split.gateway.remote_backend import RemoteBackend

    serve_gateway("split", RemoteBackend(settings), settings)
else:
    serve_gateway("pseudo", PseudoBackend(), settings)
