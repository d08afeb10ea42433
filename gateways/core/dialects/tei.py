"""
Text Embeddings Inference, Hugging Face's server: `router/src/http/server.rs` in its source is the reference.

Its `POST /embed` and `POST /rerank` share their paths with other dialects (`unprefixed.py`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import numpy as np
from fastapi import APIRouter, Request, Response

from gateways.core.api.embeddings import check_documents, check_no_token_ids, embed, prompt_of, read_inputs
from gateways.core.api.input_names import name_inputs
from gateways.core.api.sparse import read_texts
from gateways.core.backend import EncodeOptions
from gateways.core.dialects.reranking import rank
from gateways.core.dialects.sparse_pairs import Weight, pairs
from gateways.core.dialects.tei_schemas import (
    InputsEmbedRequest,
    InputsRequest,
    SimpleToken,
    TeiAnswer,
    TeiRoute,
    TextsRerankRequest,
    TokenizeRequest,
    characters,
    headers,
    info,
    shown,
)
from gateways.core.gateway import Gateway
from gateways.core.http.json_route import json_response

# An answer of `/embed_all` holds a vector per token: at most this many, if every text is of full length.
MAX_TOKENS_OF_ALL = 16_384


def embed_inputs(gateway: Gateway) -> Callable[[Request, InputsEmbedRequest], Awaitable[Response]]:
    """Return the endpoint of `POST /embed {"inputs"}`."""

    async def endpoint(request: Request, body: InputsEmbedRequest) -> Response:
        """Embed `inputs`: a list of vectors, nothing around it."""
        done = await embed(
            gateway,
            body.inputs,
            field="inputs",
            model=body.model,
            dimensions=body.dimensions,
            normalized=body.normalize,
            truncate=body.end(),
            prompt_name=body.prompt_name,
        )
        cost = headers(done.model, done.answer, characters(body.inputs), sum(done.answer.token_counts))
        return json_response(list(done.vectors), headers=cost)

    return endpoint


def rerank_texts(gateway: Gateway) -> Callable[[Request, TextsRerankRequest], Awaitable[Response]]:
    """Return the endpoint of `POST /rerank {"query", "texts"}`."""

    async def endpoint(request: Request, body: TextsRerankRequest) -> Response:
        """Rank `texts`, best first."""
        ranking = await rank(
            gateway,
            body.query,
            body.texts,
            model=body.model,
            raw=body.raw_scores,
            truncate=body.end(),
            field="texts",
        )
        ranks = [
            {"index": place.index, "score": place.score} | ({"text": place.text} if body.return_text else {})
            for place in ranking.places
        ]
        read = len(body.query) * len(body.texts) + characters(body.texts)
        cost = headers(ranking.model, ranking.answer, read, sum(ranking.answer.token_counts))
        return json_response(ranks, headers=cost)

    return endpoint


def router(gateway: Gateway) -> APIRouter:
    """Return the routes over `gateway` that no other dialect has."""
    routes = APIRouter(
        route_class=TeiRoute, tags=["TEI"], responses={"4XX": {"model": TeiAnswer, "description": "What was wrong"}}
    )
    routes.add_api_route(
        "/", embed_inputs(gateway), methods=["POST"], name="embed inputs", response_model=list[list[float]]
    )

    @routes.post("/embed_all", response_model=list[list[list[float]]])
    async def embed_all(request: Request, body: InputsRequest) -> Response:
        """Embed every token of `inputs`: a list of vectors each, special tokens included, not normalised."""
        model = gateway.model(body.model)
        limit = max(MAX_TOKENS_OF_ALL // model.max_input_tokens, 1)
        inputs = read_inputs(body.inputs, min(limit, gateway.settings.max_inputs), "inputs")
        check_no_token_ids(inputs, gateway.settings, "inputs")
        prompt = prompt_of(model, body.prompt_name)
        texts = [prompt + item if isinstance(item, str) else item for item in inputs]
        with name_inputs("inputs"):
            answer = await gateway.backend.embed_tokens(model.id, texts, EncodeOptions(body.end()))
        vectors = np.split(answer.vectors, np.cumsum(answer.token_counts)[:-1])
        cost = headers(model, answer, characters(body.inputs), sum(answer.token_counts))
        # Megabytes of digits: written in a thread, the loop is not held up.
        return await asyncio.to_thread(json_response, vectors, headers=cost)

    @routes.post("/embed_sparse", response_model=list[list[Weight]])
    async def embed_sparse(request: Request, body: InputsRequest) -> Response:
        """Weigh the terms of `inputs`: a list of `{"index", "value"}` each. The prompt `query` is for queries."""
        model = gateway.model(body.model, "sparse")
        texts = read_texts(body.inputs, gateway.settings, "inputs")
        prompt = prompt_of(model, body.prompt_name)
        with name_inputs("inputs"):
            answer = await gateway.embed_sparse(
                model,
                [prompt + text for text in texts],
                EncodeOptions(body.end()),
                query=body.prompt_name == "query",
            )
        cost = headers(model, answer, characters(body.inputs), sum(answer.token_counts))
        return await asyncio.to_thread(lambda: json_response(pairs(answer.rows), headers=cost))

    @routes.post("/tokenize", response_model=list[list[SimpleToken]])
    async def tokenize(request: Request, body: TokenizeRequest) -> Response:
        """Return the tokens of each text, and the characters they stand for."""
        model = gateway.model(body.model)
        prompt = prompt_of(model, body.prompt_name)
        texts = read_texts(body.inputs, gateway.settings, "inputs")
        check_documents(texts, gateway.settings, "inputs")
        tokens = await gateway.backend.tokenize(model.id, [prompt + text for text in texts])
        return await asyncio.to_thread(
            lambda: json_response([shown(found, body.add_special_tokens) for found in tokens])
        )

    @routes.get("/info")
    async def describe() -> Response:
        """Describe the default model and the limits."""
        return json_response(info(gateway.model(None), gateway.settings))

    return routes
