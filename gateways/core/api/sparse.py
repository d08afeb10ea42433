"""`POST /v1/embed_sparse`: texts to weights of terms, for keyword and hybrid search elsewhere."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter, Request, Response
from pydantic import Field

from gateways.core.api.embeddings import Input, Usage, check_length, read_inputs
from gateways.core.backend import EncodeOptions
from gateways.core.errors import InvalidRequest
from gateways.core.gateway import Gateway
from gateways.core.http.json_route import JsonRoute, json_response
from gateways.core.http.schemas import Lenient
from gateways.core.settings import RequestLimits


class SparseRequest(Lenient):
    """Texts to weigh the terms of."""

    input: Input = Field(description="One text, or a list of texts.")
    model: str | None = Field(None, description="Id or alias; default: the gateway's default sparse model.")
    input_type: Literal["document", "query"] = Field("document", description="A query's BM25 weights are all 1.")
    truncate: Literal["END", "START", "NONE"] = Field("END", description="Which end a long text loses; NONE: error.")


class SparseEntries(Lenient):
    """The entries that are not zero, indices ascending."""

    indices: list[int]
    values: list[float]


class SparseEmbedding(Lenient):
    """One sparse vector, at the place of its text."""

    object: Literal["sparse_embedding"]
    index: int
    embedding: SparseEntries


class SparseAnswer(Lenient):
    """A list object in OpenAI's manner."""

    object: Literal["list"]
    data: list[SparseEmbedding]
    model: str
    usage: Usage


def router(gateway: Gateway) -> APIRouter:
    """Return the route over `gateway`."""
    routes = APIRouter(route_class=JsonRoute, tags=["embeddings"])

    @routes.post("/v1/embed_sparse", response_model=SparseAnswer)
    async def embed_sparse(request: Request, body: SparseRequest) -> Response:
        """Weigh the terms of up to MAX_INPUTS texts. BM25's weights want the IDF modifier of the store."""
        texts = read_texts(body.input, gateway.settings)
        model = gateway.model(body.model, "sparse")
        options = EncodeOptions(body.truncate)
        answer = await gateway.embed_sparse(model, texts, options, query=body.input_type == "query")
        tokens = sum(answer.token_counts)
        data: list[dict[str, Any]] = [
            {"object": "sparse_embedding", "index": index, "embedding": row._asdict()}
            for index, row in enumerate(answer.rows)
        ]
        usage = {"prompt_tokens": tokens, "total_tokens": tokens}
        return json_response({"object": "list", "data": data, "model": model.id, "usage": usage})

    return routes


def read_texts(value: Any, limits: RequestLimits, field: str = "input") -> list[str]:
    """
    Return one text or a list of them as a list.

    Raises as `read_inputs`, InvalidRequest for token ids, which are no terms, TooLarge for a long text.
    """
    inputs = read_inputs(value, limits.max_inputs, field)
    texts = [item for item in inputs if isinstance(item, str)]
    if len(texts) < len(inputs):
        raise InvalidRequest(f"{field} must be text here, not token ids.", param=field, code="invalid_type")
    for position, text in enumerate(texts):
        name = field if isinstance(value, str) else f"{field}.{position}"
        check_length(text, limits.max_document_chars, "MAX_DOCUMENT_CHARS", name)
    return texts
