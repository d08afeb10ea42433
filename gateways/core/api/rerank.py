"""`POST /v1/rerank`: documents in the order in which they answer a query."""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Literal

import numpy as np
from fastapi import APIRouter, Request, Response
from pydantic import AliasChoices, Field, WithJsonSchema

from gateways.core.api.embeddings import Text, check_count, check_query
from gateways.core.api.input_names import name_inputs
from gateways.core.backend import EncodeOptions
from gateways.core.errors import InvalidRequest
from gateways.core.gateway import Gateway
from gateways.core.http.json_route import JsonRoute, json_response
from gateways.core.http.schemas import Lenient
from gateways.core.scoring.relevance import relevance
from gateways.core.settings import RequestLimits

_DOCUMENT = {
    "anyOf": [
        {"type": "string", "minLength": 1},
        {"type": "object", "properties": {"text": {"type": "string", "minLength": 1}}, "required": ["text"]},
    ]
}

# What the description says of documents, `read_documents` checks.
Documents = Annotated[list[Any], WithJsonSchema({"type": "array", "items": _DOCUMENT, "minItems": 1})]


class RerankRequest(Lenient):
    """A query, and the documents that may answer it."""

    query: Text
    documents: Documents
    model: str | None = Field(None, description="Id or alias; default: the gateway's default reranker.")
    top_n: int | None = Field(
        None,
        ge=1,
        validation_alias=AliasChoices("top_n", "top_k"),
        description="Results at most; top_k means the same. Default: all.",
    )
    return_documents: bool = Field(True, description="Return each document's text with its score.")
    raw_scores: bool = Field(False, description="The model's own scores instead of relevance from 0 to 1.")
    truncate: Literal["END", "START", "NONE"] = Field("END", description="Which end a long text loses; NONE: error.")


class Ranked(Lenient):
    """One document: its place in the request, its relevance, and its text where that was asked for."""

    index: int
    relevance_score: float
    document: dict[str, str] | None = None


class RerankAnswer(Lenient):
    """Results, the most relevant first."""

    id: str
    model: str
    results: list[Ranked]
    usage: dict[str, int]


def router(gateway: Gateway) -> APIRouter:
    """Return the route over `gateway`."""
    routes = APIRouter(route_class=JsonRoute, tags=["rerank"])

    @routes.post("/v1/rerank", response_model=RerankAnswer)
    async def rerank(request: Request, body: RerankRequest) -> Response:
        """Score up to MAX_INPUTS documents against a query."""
        texts = read_documents(body.query, body.documents, gateway.settings)
        model = gateway.model(body.model, "rerank")
        with name_inputs("documents"):
            scores = await gateway.rerank(model, body.query, texts, EncodeOptions(body.truncate))
        values = scores.values if body.raw_scores else relevance(model, scores.values)
        return json_response(
            {
                "id": uuid.uuid4().hex,
                "model": model.id,
                "results": [
                    {"index": at, "relevance_score": values[at]}
                    | ({"document": {"text": texts[at]}} if body.return_documents else {})
                    for at in best(values, body.top_n)
                ],
                "usage": {"prompt_tokens": sum(scores.token_counts), "total_tokens": sum(scores.token_counts)},
            }
        )

    return routes


def best(values: Any, top_n: int | None) -> list[int]:
    """Return the places of the `top_n` greatest of n values, greatest first, equal ones in the order given."""
    order: list[int] = np.argsort(-values, kind="stable")[:top_n].tolist()
    return order


def read_documents(query: str, documents: list[Any], limits: RequestLimits, field: str = "documents") -> list[str]:
    """
    Return the texts of documents that are texts or `{"text": ...}`.

    Raises InvalidRequest with the place of the first bad one, TooLarge beyond `limits`.
    """
    check_query(query, limits, "say what the documents may answer")
    check_count(documents, limits.max_inputs, field)
    return [_text(document, f"{field}.{position}") for position, document in enumerate(documents)]


def _text(document: Any, at: str) -> str:
    text = document.get("text") if isinstance(document, dict) else document
    if not isinstance(text, str):
        raise InvalidRequest(f"{at} must be a text or an object with a text.", param=at, code="invalid_type")
    if not text.strip():
        raise InvalidRequest(f"{at} is empty; a score needs a text.", param=at, code="empty_input")
    return text
