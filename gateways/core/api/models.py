"""`GET /v1/models`: OpenAI's list of models, with more fields."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Response

from gateways.core.backend import ModelInfo
from gateways.core.gateway import Gateway
from gateways.core.http.json_route import json_response


def router(gateway: Gateway) -> APIRouter:
    """Return the routes over `gateway`."""
    routes = APIRouter(tags=["models"])

    @routes.get("/v1/models")
    async def models() -> Response:
        """List the models this gateway serves."""
        return json_response({"object": "list", "data": [described(model) for model in gateway.models()]})

    @routes.get("/v1/models/{model:path}")
    async def one_model(model: str) -> Response:
        """Describe one model, by id or alias."""
        return json_response(described(gateway.any_model(model)))

    return routes


def described(model: ModelInfo) -> dict[str, Any]:
    """Return OpenAI's model object with our own fields."""
    return {
        "id": model.id,
        "object": "model",
        "created": 0,
        "owned_by": "embedding-gateways",
        "kind": model.kind,
        "dimensions": model.dimensions,
        "max_input_tokens": model.max_input_tokens,
        "languages": model.languages,
        "loaded": model.loaded,
        "device": model.device,
        "precision": model.precision,
        "aliases": model.aliases,
        "stands_in_for": model.stands_in_for,
        "prompts": [name for name, _ in model.prompts],
    }
