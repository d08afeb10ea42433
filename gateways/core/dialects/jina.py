"""
Jina's rerank, which Open WebUI, Dify and LocalAI speak too, and the RAG NLP engine's, which has the same body.

The answer is the union of the two: `results` for the former, `ranked` for the latter.
"""

from __future__ import annotations

import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import Request, Response

from gateways.core.api.rerank import RerankRequest
from gateways.core.dialects.reranking import Ranking, rank
from gateways.core.gateway import Gateway
from gateways.core.http.json_route import json_response


def rerank_documents(gateway: Gateway) -> Callable[[Request, RerankRequest], Awaitable[Response]]:
    """Return the endpoint of `POST /rerank {"query", "documents"}`."""

    async def endpoint(request: Request, body: RerankRequest) -> Response:
        ranking = await rank(
            gateway,
            body.query,
            body.documents,
            model=body.model,
            top=body.top_n,
            raw=body.raw_scores,
            truncate=body.truncate,
        )
        return json_response(_answer(ranking) | (_with_texts(ranking) if body.return_documents else {}))

    return endpoint


def _answer(ranking: Ranking) -> dict[str, Any]:
    return {
        "id": uuid.uuid4().hex,
        "model": ranking.model.id,
        "results": [{"index": place.index, "relevance_score": place.score} for place in ranking.places],
        "inference_time_ms": round(ranking.answer.infer_ms, 3),
        "usage": ranking.usage(),
    }


def _with_texts(ranking: Ranking) -> dict[str, Any]:
    """Return both lists with the documents in them; without documents there is no `ranked`, which is made of them."""
    return {
        "results": [
            {"index": place.index, "relevance_score": place.score, "document": {"text": place.text}}
            for place in ranking.places
        ],
        "ranked": [{"doc": place.text, "score": place.score} for place in ranking.places],
    }
