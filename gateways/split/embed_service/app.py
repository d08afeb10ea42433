"""`POST /embed`: texts to vectors, as JSON for people and in binary for the thin gateway."""

from __future__ import annotations

import dataclasses
from typing import Any, Literal

from fastapi import APIRouter, FastAPI, Request, Response
from pydantic import Field

from gateways.core import wire
from gateways.core.api import ops
from gateways.core.api.body import JsonRoute, Lenient, json_response
from gateways.core.api.embeddings import Input, read_inputs
from gateways.core.app import assemble
from gateways.core.backend import Backend
from gateways.core.settings import Settings
from gateways.core.vectors import normalize


class EmbedRequest(Lenient):
    """Texts, or lists of token ids."""

    texts: Input
    truncate: Literal["END", "START", "NONE"] = "END"
    normalize: bool = Field(True, description="JSON answers only; the binary one holds vectors as pooled.")
    lane: Literal["interactive", "bulk"] = "interactive"


class Health:
    """The backend's health, and which model it serves: what the thin gateway asks before it sends texts."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.ready = backend.ready
        self.failure = backend.failure

    def health(self) -> dict[str, object]:
        """Return the models as loaded."""
        models = [dataclasses.asdict(model) for model in self._backend.models()]
        return {"model_loaded": bool(models), "models": models}


def create_app(backend: Backend, settings: Settings) -> FastAPI:
    """Return the service over one backend."""

    async def stop() -> None:
        await backend.__aexit__(None, None, None)

    return assemble(
        "embed service", [_router(backend, settings), ops.probes(Health(backend))], settings, backend.__aenter__, stop
    )


def _router(backend: Backend, settings: Settings) -> APIRouter:
    routes = APIRouter(route_class=JsonRoute, tags=["embed"])

    @routes.post("/embed")
    async def embed(request: Request, body: EmbedRequest) -> Response:
        """Embed texts; `Accept: application/vnd.embeddings.f32` asks for the binary answer."""
        inputs = read_inputs(body.texts, settings.max_inputs)
        answer = await backend.embed("", inputs, truncate=body.truncate, lane=body.lane)
        if request.headers.get("accept") == wire.MEDIA_TYPE:
            return Response(wire.encode(answer), media_type=wire.MEDIA_TYPE)
        vectors = normalize(answer.vectors) if body.normalize else answer.vectors
        shown: dict[str, Any] = {"embeddings": list(vectors), "model": backend.models()[0].id}
        return json_response(shown | {"model_dim": vectors.shape[1], "inference_time_ms": answer.infer_ms})

    return routes
