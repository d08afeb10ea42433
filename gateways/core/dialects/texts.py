"""
`POST /embed {"texts"}`: the RAG NLP engine, as n8n and NestJS call it, and embed-only services.

The engine's `POST /rerank` has the body and the answer of Jina's (`jina.py`). Its `GET /config` is `/v1/config`.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import Request, Response
from pydantic import Field

from gateways.core.api.embeddings import Input, embed
from gateways.core.gateway import Gateway
from gateways.core.http.json_route import json_response
from gateways.core.http.schemas import Lenient


class TextsRequest(Lenient):
    """Texts to embed."""

    texts: Input = Field(description="A list of texts.", examples=[["What is the vacation policy?"]])
    model: str | None = Field(None, description="Id or alias; default: the gateway's default model.")
    normalize: bool = Field(True, description="Scale vectors to unit length.")


def embed_texts(gateway: Gateway) -> Callable[[Request, TextsRequest], Awaitable[Response]]:
    """Return the endpoint of `POST /embed {"texts"}`."""

    async def endpoint(request: Request, body: TextsRequest) -> Response:
        embedded = await embed(gateway, body.texts, field="texts", model=body.model, normalized=body.normalize)
        return json_response(
            {
                "embeddings": list(embedded.vectors),
                "model": embedded.model.id,
                "model_dim": embedded.vectors.shape[1],
                "inference_time_ms": round(embedded.answer.infer_ms, 3),
            }
        )

    return endpoint
