"""`POST /v1/search`: a query to passages, with scores and citations."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from gateways.core.api.body import JsonRoute, Strict, json_response
from gateways.core.api.collection import Collection
from gateways.core.api.embeddings import Text
from gateways.core.errors import InvalidRequest
from gateways.core.gateway import Gateway
from gateways.core.pipeline import Question
from gateways.core.stores.base import Hit


def _switch_or_name(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, str) and value):
        return value
    raise PydanticCustomError("rerank_type", "must be true, false or the id of a reranker")


_RERANK = {"anyOf": [{"type": "boolean"}, {"type": "string", "minLength": 1}], "default": None}
Rerank = Annotated[Any, AfterValidator(_switch_or_name), WithJsonSchema(_RERANK)]


class SearchRequest(Strict):
    """A question, and what may answer it."""

    query: Text = Field(examples=["How many vacation days do I get?"])
    top_k: int | None = Field(
        None, ge=1, le=1_000, description="Results at most; when not given, as the collection's profile says: 5."
    )
    collection: Collection = "default"
    filter: dict[str, Any] | None = Field(
        None,
        description='On metadata: {"lang": "en"}, {"year": {"gte": 2000}}, {"lang": {"in": [..]}}, and, or, not.',
        examples=[{"year": {"gte": 2020}, "not": {"lang": "de"}}],
    )
    mode: Literal["dense", "sparse", "hybrid"] = Field(
        "dense", description="By meaning, by words, or by both: reciprocal rank fusion of the two rankings."
    )
    rerank: Rerank = Field(
        None,
        description="Let a reranker judge the best: true, a reranker's id, or false; "
        "when not given, as the collection's profile says.",
    )
    explain: bool = Field(False, description="Tell each result's score and rank in every ranking it went through.")
    min_score: float | None = Field(
        None,
        description="Leave out lower scores: -1 to 1 if dense, 0 and up if sparse, 0 to 1 if hybrid or reranked.",
    )


class Citation(Strict):
    """Where in which document a passage stands, in characters."""

    document_id: str
    start: int
    end: int


class Explanation(Strict):
    """Scores by ranking, and ranks from 1; null where a ranking was not made or does not hold the passage."""

    dense: float | None
    sparse: float | None
    fused: float | None
    late: float | None
    rerank: float | None
    ranks: dict[str, int | None]


class Result(Strict):
    """One passage. The score: cosine (dense), weight of common words (sparse), fused ranks, or relevance."""

    id: str
    score: float
    text: str
    metadata: dict[str, Any]
    citation: Citation
    explain: Explanation | None = None


class SearchAnswer(Strict):
    """Results, best first; the models that read the query and judged the results."""

    results: list[Result]
    model: str
    reranker_model: str | None
    took_ms: float
    timings_ms: dict[str, float]


def router(gateway: Gateway) -> APIRouter:
    """Return the route over `gateway`."""
    routes = APIRouter(route_class=JsonRoute, tags=["search"])

    @routes.post("/v1/search", response_model=SearchAnswer)
    async def search(request: Request, body: SearchRequest) -> Response:
        """Find the passages that answer a query."""
        if not body.query.strip():
            raise InvalidRequest("query is empty; say what to look for.", param="query", code="empty_input")
        found = await gateway.search(_question(body))
        results = [_result(hit) for hit in found.hits]
        for result, explanation in zip(results, found.explained, strict=False):
            result["explain"] = explanation
        return json_response(
            {
                "results": results,
                "model": found.model,
                "reranker_model": found.reranker,
                "took_ms": found.took_ms,
                "timings_ms": found.timings_ms,
            }
        )

    return routes


def _question(body: SearchRequest) -> Question:
    return Question(
        query=body.query,
        collection=body.collection,
        mode=body.mode,
        top_k=body.top_k,
        where=body.filter,
        min_score=body.min_score,
        rerank=body.rerank,
        explain=body.explain,
    )


def _result(hit: Hit) -> dict[str, Any]:
    passage = hit.passage
    return {
        "id": passage.id,
        "score": hit.score,
        "text": passage.text,
        "metadata": passage.metadata,
        "citation": {"document_id": passage.document_id, "start": passage.start, "end": passage.end},
    }
