"""Run the thin gateway: `python -m gateways.split.gateway`; without EMBEDDING_API_URL its vectors are pseudo."""

from __future__ import annotations

from gateways.core.pseudo import PseudoBackend
from gateways.core.server import read_settings, serve_gateway

settings = read_settings()
if settings.embedding_api_url:
    from gateways.split.gateway.remote import RemoteBackend

    serve_gateway("split", RemoteBackend(settings), settings)
else:
    serve_gateway("pseudo", PseudoBackend(), settings)
