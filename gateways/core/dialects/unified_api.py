"""The Unified Embedding API under `/api/v1`: OpenAI's embeddings, bare lists, sparse pairs, rerank; and `/health`."""

from __future__ import annotations

import asyncio
from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import AliasChoices, Field

from gateways.core.api.embeddings import (
    EmbeddingsAnswer,
    EmbeddingsRequest,
    Input,
    embed,
    openai_embeddings,
)
from gateways.core.api.models import described
from gateways.core.api.rerank import RerankRequest
from gateways.core.api.sparse import read_texts
from gateways.core.backend import ModelInfo
from gateways.core.dialects.detail_errors import DetailAnswer, DetailRoute
from gateways.core.dialects.reranking import rank
from gateways.core.dialects.sparse_pairs import Weight, pairs
from gateways.core.gateway import Gateway
from gateways.core.http.json_route import json_response
from gateways.core.http.schemas import Lenient

# What it calls the kinds of models.
TYPES = {"dense": "embeddings", "sparse": "sparse-embeddings", "rerank": "rerank"}


class UnifiedRequest(Lenient):
    """One text, or a list of texts."""

    input: Input = Field(
        validation_alias=AliasChoices("input", "inputs", "texts"), examples=["Natural language processing"]
    )
    model: str | None = Field(
        None,
        validation_alias=AliasChoices("model", "model_id"),
        description="Id or alias; default: the gateway's default model of the kind.",
    )


class UnifiedEmbedRequest(UnifiedRequest):
    """One text, or a list of texts, to embed."""

    normalize: bool = Field(True, description="Scale vectors to unit length.")


class UnifiedSparseRequest(UnifiedRequest):
    """One text, or a list of texts, to weigh the terms of."""

    input_type: Literal["document", "query"] = Field("document", description="A query's BM25 weights are all 1.")


def router(gateway: Gateway) -> APIRouter:
    """Return the routes over `gateway`."""
    routes = APIRouter(
        route_class=DetailRoute,
        tags=["Unified Embedding API"],
        responses={"4XX": {"model": DetailAnswer, "description": "What was wrong"}},
    )

    @routes.post("/api/v1/embeddings", response_model=EmbeddingsAnswer)
    async def embeddings(request: Request, body: EmbeddingsRequest) -> Response:
        """Embed texts as `POST /v1/embeddings` does: OpenAI's clients take `/api/v1` as their base URL."""
        return await openai_embeddings(gateway, body)

    @routes.post("/api/v1/embed", response_model=list[list[float]])
    async def embed_bare(request: Request, body: UnifiedEmbedRequest) -> Response:
        """Embed texts: a list of vectors, nothing around it."""
        done = await embed(gateway, body.input, model=body.model, normalized=body.normalize)
        return json_response(list(done.vectors))

    @routes.post("/api/v1/embed_sparse", response_model=list[list[Weight]])
    async def embed_sparse(request: Request, body: UnifiedSparseRequest) -> Response:
        """Weigh the terms of texts: a list of `{"index", "value"}` each."""
        model = gateway.model(body.model, "sparse")
        texts = read_texts(body.input, gateway.settings)
        answer = await gateway.embed_sparse(model, texts, query=body.input_type == "query")
        return await asyncio.to_thread(lambda: json_response(pairs(answer.rows)))

    @routes.post("/api/v1/rerank")
    async def rerank(request: Request, body: RerankRequest) -> Response:
        """Put documents into the order of their relevance, from 0 to 1."""
        ranking = await rank(
            gateway,
            body.query,
            body.documents,
            model=body.model,
            top=body.top_n,
            raw=body.raw_scores,
            truncate=body.truncate,
        )
        results = [{"text": place.text, "score": place.score, "index": place.index} for place in ranking.places]
        return json_response({"results": results, "model": ranking.model.id})

    @routes.get("/api/v1/models")
    async def models() -> Response:
        """List the models twice: as OpenAI does, and with their `type`."""
        served = gateway.models()
        return json_response(
            {
                "object": "list",
                "data": [described(model) for model in served],
                "models": [_typed(model) for model in served],
                "total": len(served),
            }
        )

    @routes.get("/api/v1/models/{model:path}")
    async def one_model(model: str) -> Response:
        """Describe one model, by id or alias."""
        found = gateway.any_model(model)
        return json_response(described(found) | _typed(found))

    @routes.get("/health")
    async def health() -> Response:
        """Tell whether to send requests here, and how many models are loaded."""
        ready, served = gateway.ready(), [model for model in gateway.backend.models() if model.fetched]
        counts = {"total_models": len(served), "loaded_models": sum(model.loaded for model in served)}
        status = {"status": "ok" if ready else "starting", "startup_complete": ready}
        return json_response(status | counts, 200 if ready else 503)

    return routes


def _typed(model: ModelInfo) -> dict[str, Any]:
    name = next((alias for alias in model.aliases if "/" in alias), model.id)
    return {"id": model.id, "name": name, "type": TYPES[model.kind], "loaded": model.loaded}
