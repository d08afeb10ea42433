"""`POST /v1/search`: the passages that answer a query, with scores and citations."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import AfterValidator, Field, WithJsonSchema
from pydantic_core import PydanticCustomError

from gateways.core.api.collection_fields import Collection
from gateways.core.api.embeddings import Text, check_query
from gateways.core.gateway import Gateway
from gateways.core.http.json_route import JsonRoute, json_response
from gateways.core.http.json_values import JsonObject
from gateways.core.http.schemas import Strict
from gateways.core.search.plan import Question
from gateways.core.stores.base import Hit


def _check_rerank(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, str) and value):
        return value
    raise PydanticCustomError("rerank_type", "must be true, false or the id of a reranker")


_RERANK = {"anyOf": [{"type": "boolean"}, {"type": "string", "minLength": 1}], "default": None}
Rerank = Annotated[Any, AfterValidator(_check_rerank), WithJsonSchema(_RERANK)]


class SearchRequest(Strict):
    """A query, and which passages may answer it."""

    query: Text = Field(examples=["How many vacation days do I get?"])
    top_k: int | None = Field(
        None,
        ge=1,
        le=1_000,
        description="Maximum results. Default: `top_k` of the collection's profile, 5 if not set.",
    )
    collection: Collection = "default"
    filter: JsonObject | None = Field(
        None,
        description='On metadata: {"lang": "en"}, {"year": {"gte": 2000}}, {"lang": {"in": [..]}}, and, or, not.',
        examples=[{"year": {"gte": 2020}, "not": {"lang": "de"}}],
    )
    mode: Literal["dense", "sparse", "hybrid"] = Field(
        "dense",
        description="`dense`: by meaning, `sparse`: by words, `hybrid`: reciprocal rank fusion of both rankings.",
    )
    rerank: Rerank = Field(
        None,
        description="Set true or a reranker's id to rerank the best passages, false to leave them. "
        "Default: the collection's profile.",
    )
    explain: bool = Field(
        False, description="Set true to get the score and the rank of each result in every ranking."
    )
    min_score: float | None = Field(
        None,
        description="Minimum score of a result: -1 to 1 if dense, 0 and up if sparse, 0 to 1 if hybrid or reranked.",
    )


class Citation(Strict):
    """The document of a passage, and the passage's start and end in it, in characters."""

    document_id: str
    start: int
    end: int


class Explanation(Strict):
    """Scores and ranks (from 1) by ranking. Null if a ranking was not made or does not hold the passage."""

    dense: float | None
    sparse: float | None
    fused: float | None
    late: float | None
    rerank: float | None
    ranks: dict[str, int | None]


class Result(Strict):
    """One passage. Its score is a cosine (dense), a word weight (sparse), a fused rank (hybrid) or a relevance."""

    id: str
    score: float
    text: str
    metadata: dict[str, Any]
    citation: Citation
    explain: Explanation | None = None


class SearchAnswer(Strict):
    """Results in descending order of score, and the models that embedded the query and reranked the results."""

    results: list[Result]
    warnings: list[str] = Field(description="A field of the filter that no document has. Empty if there are results.")
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
        check_query(body.query, gateway.settings, "say what to look for")
        outcome = await gateway.search(_question(body))
        results = [_result(hit) for hit in outcome.hits]
        for result, explanation in zip(results, outcome.explained, strict=False):
            result["explain"] = explanation
        return json_response(
            {
                "results": results,
                "warnings": outcome.warnings,
                "model": outcome.model,
                "reranker_model": outcome.reranker,
                "took_ms": outcome.took_ms,
                "timings_ms": outcome.timings_ms,
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
