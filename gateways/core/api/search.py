"""`POST /v1/search`: a query to passages, with scores and citations."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from gateways.core.api.body import JsonRoute, Strict, json_response
from gateways.core.api.collection import Collection
from gateways.core.errors import InvalidRequest
from gateways.core.gateway import Gateway
from gateways.core.stores.base import Hit


class SearchRequest(Strict):
    """A question, and what may answer it."""

    query: str
    top_k: int = Field(5, ge=1, le=1_000, description="Results at most.")
    collection: Collection = "default"
    filter: dict[str, Any] | None = Field(
        None,
        description='On metadata: {"lang": "en"}, {"year": {"gte": 2000}}, {"lang": {"in": [..]}}, and, or, not.',
    )
    mode: Literal["dense"] = Field("dense", description="How passages are retrieved.")
    min_score: float | None = Field(None, ge=-1, le=1, description="Leave out passages with a lower cosine.")


class Citation(Strict):
    """Where in which document a passage stands, in characters."""

    document_id: str
    start: int
    end: int


class Result(Strict):
    """One passage; the score is its cosine to the query."""

    id: str
    score: float
    text: str
    metadata: dict[str, Any]
    citation: Citation


class SearchAnswer(Strict):
    """Results, best first."""

    results: list[Result]
    model: str
    took_ms: float
    timings_ms: dict[str, float]


def router(gateway: Gateway) -> APIRouter:
    """Return the route over `gateway`."""
    routes = APIRouter(route_class=JsonRoute, tags=["search"])

    @routes.post("/v1/search", response_model=SearchAnswer)
    async def search(request: Request, body: SearchRequest) -> Response:
        """Find the passages nearest to a query."""
        if not body.query.strip():
            raise InvalidRequest("query is empty; say what to look for.", param="query", code="empty_input")
        found = await gateway.search(body.query, body.collection, body.top_k, body.filter, body.min_score)
        return json_response(
            {
                "results": [_result(hit) for hit in found.hits],
                "model": found.model,
                "took_ms": found.took_ms,
                "timings_ms": found.timings_ms,
            }
        )

    return routes


def _result(hit: Hit) -> dict[str, Any]:
    passage = hit.passage
    return {
        "id": passage.id,
        "score": hit.score,
        "text": passage.text,
        "metadata": passage.metadata,
        "citation": {"document_id": passage.document_id, "start": passage.start, "end": passage.end},
    }
