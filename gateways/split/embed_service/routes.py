"""One route for each thing a backend does, with answers in JSON for people and in binary for the thin gateway."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
from fastapi import APIRouter, Request, Response

from gateways.core import tenants
from gateways.core.api.embeddings import check_documents, check_length, read_inputs
from gateways.core.api.input_names import name_inputs
from gateways.core.api.rerank import read_documents
from gateways.core.api.sparse import read_texts
from gateways.core.backend import Backend, Embeddings, ModelInfo, Scores, SparseEmbeddings
from gateways.core.errors import InvalidRequest, TooLarge
from gateways.core.http.json_route import JsonRoute, json_response
from gateways.core.models.registry import ModelRegistry
from gateways.core.scoring.vectors import normalize
from gateways.core.settings import RequestLimits
from gateways.split import wire_format
from gateways.split.embed_service.schemas import (
    ChunkRequest,
    EmbedRequest,
    RerankRequest,
    SparseRequest,
    TokenizeRequest,
)

_KEY_NAME = re.compile(r"[A-Za-z0-9._-]{1,64}")


def router(backend: Backend, settings: RequestLimits) -> APIRouter:
    """Return the routes; `Accept: application/vnd.embeddings.f32` asks for vectors in binary."""
    routes = APIRouter(route_class=JsonRoute, tags=["embed"])
    registry = ModelRegistry(backend)
    packed = Packed(backend)

    @routes.post("/embed")
    async def embed(request: Request, body: EmbedRequest) -> Response:
        """Embed texts."""
        inputs = read_inputs(body.texts, settings.max_inputs)
        model = registry.model(body.model, "dense")
        answer = await backend.embed(model.id, inputs, body.options())
        tokens = answer.tokens
        if _binary(request):
            raw = wire_format.encode_with_tokens(answer, tokens) if tokens else wire_format.encode(answer)
            return packed(raw)
        vectors = normalize(answer.vectors) if body.normalize else answer.vectors
        shown = {"embeddings": list(vectors), "model_dim": vectors.shape[1]}
        if tokens:
            shown["token_vectors"] = [list(rows) for rows in tokens.by_text()]
        return json_response(_told(model, answer) | shown)

    @routes.post("/embed_tokens")
    async def embed_tokens(request: Request, body: EmbedRequest) -> Response:
        """Embed every token of texts, special ones included."""
        inputs = read_inputs(body.texts, settings.max_inputs)
        model = registry.model(body.model, "dense")
        answer = await backend.embed_tokens(model.id, inputs, body.options())
        if _binary(request):
            return packed(wire_format.encode(answer))
        vectors = normalize(answer.vectors) if body.normalize else answer.vectors
        of_texts = np.split(vectors, np.cumsum(answer.token_counts)[:-1])
        shown = {"embeddings": [list(rows) for rows in of_texts], "model_dim": vectors.shape[1]}
        return json_response(_told(model, answer) | shown)

    @routes.post("/embed_sparse")
    async def embed_sparse(request: Request, body: SparseRequest) -> Response:
        """Weigh the vocabulary for texts."""
        texts = read_texts(body.texts, settings)
        model = registry.model(body.model, "sparse")
        answer = await registry.embed_sparse(model, texts, body.options(), query=body.query)
        if _binary(request):
            return packed(wire_format.encode_sparse(answer))
        return json_response(_told(model, answer) | {"embeddings": [row._asdict() for row in answer.rows]})

    @routes.post("/rerank")
    async def rerank(request: Request, body: RerankRequest) -> Response:
        """Score documents: as the model does, in the order given."""
        _enter_cache_scope(request)
        documents = read_documents(body.query, body.documents, settings)
        model = registry.model(body.model, "rerank")
        with name_inputs("documents"):
            scores = await backend.rerank(model.id, body.query, documents, body.options())
        return json_response(_told(model, scores) | {"scores": scores.values})

    @routes.post("/tokenize")
    async def tokenize(request: Request, body: TokenizeRequest) -> Response:
        """Show the tokens of texts, special ones included."""
        _check_number(body.texts, settings.max_inputs)
        model = registry.any_model(body.model) if body.model else registry.model(None)
        check_documents(body.texts, settings, "texts")
        found = await backend.tokenize(model.id, body.texts)
        return json_response({"model": model.id, "tokens": [[token._asdict() for token in text] for text in found]})

    @routes.post("/chunk")
    async def chunk(request: Request, body: ChunkRequest) -> Response:
        """Cut texts into chunks: (start, end) in characters."""
        _check_number(body.texts, settings.max_inputs)
        for position, text in enumerate(body.texts):
            check_length(text, settings.max_document_chars, "MAX_DOCUMENT_CHARS", f"texts.{position}")
        if body.overlap >= body.max_tokens:
            raise InvalidRequest(
                f"overlap is {body.overlap}; it must be less than max_tokens, {body.max_tokens}.", param="overlap"
            )
        model = registry.any_model(body.model) if body.model else registry.model(None)
        spans = await backend.chunk(model.id, body.texts, body.max_tokens, body.overlap)
        return json_response({"model": model.id, "chunks": spans})

    return routes


class Packed:
    """Binary answers, which say what this service serves."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self._told: Sequence[ModelInfo] = ()
        self._media_type = wire_format.MEDIA_TYPE

    def __call__(self, raw: bytes) -> Response:
        """Return the answer."""
        told = self._backend.models()
        if told is not self._told:
            self._told, self._media_type = (
                told,
                f"{wire_format.MEDIA_TYPE};serving={wire_format.serving_fingerprint(told)}",
            )
        return Response(raw, media_type=self._media_type)


def _binary(request: Request) -> bool:
    return request.headers.get("accept") == wire_format.MEDIA_TYPE


def _enter_cache_scope(request: Request) -> None:
    """Keep the cached answers of a limited key of the thin gateway apart. Raises InvalidRequest for a wrong name."""
    scope = request.headers.get(wire_format.CACHE_SCOPE)
    if scope is None:
        return
    if not _KEY_NAME.fullmatch(scope):
        message = f"{wire_format.CACHE_SCOPE} must be the name of a key: 1 to 64 letters, digits, dots, _ or -"
        raise InvalidRequest(message, param=wire_format.CACHE_SCOPE)
    tenants.enter_cache_scope(scope)


def _told(model: ModelInfo, answer: Embeddings | SparseEmbeddings | Scores) -> dict[str, Any]:
    """Return what every answer in JSON says besides what was asked for."""
    return {
        "model": model.id,
        "token_counts": answer.token_counts,
        "tokenize_ms": answer.tokenize_ms,
        "queue_ms": answer.queue_ms,
        "inference_time_ms": answer.infer_ms,
    }


def _check_number(texts: Sequence[str], limit: int) -> None:
    if not texts:
        raise InvalidRequest("texts is an empty list; send at least one.", param="texts", code="empty_input")
    if len(texts) > limit:
        raise TooLarge(
            f"texts has {len(texts)} entries and {limit} may come at once; send several requests.",
            param="texts",
            code="too_many_inputs",
        )
