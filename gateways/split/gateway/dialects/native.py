"""The dialect of our own embed service: vectors in binary, all else in JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson

from gateways.core import tenants
from gateways.core.backend import (
    Embeddings,
    EncodeOptions,
    Inputs,
    ModelInfo,
    PassCost,
    Scores,
    Span,
    SparseEmbeddings,
    Token,
)
from gateways.core.settings import UpstreamSettings
from gateways.split import wire_format
from gateways.split.gateway.dialects.base import Ask, Send, post

_MODEL_FIELDS = frozenset(field.name for field in dataclasses.fields(ModelInfo))


class Native:
    """Our own embed service."""

    refresh_s = 2.0  # its models come and go

    def __init__(self, settings: UpstreamSettings) -> None:
        self.most_inputs = settings.max_inputs

    async def models(self, send: Send) -> tuple[ModelInfo, ...]:
        """Read them from the service's health."""
        return await send(Ask("healthz", None, _models))

    def embed(self, model: str, inputs: Inputs, options: EncodeOptions) -> Ask[Embeddings]:
        """Ask in JSON for the binary answer."""
        body = _body(model, inputs, options)
        if options.tokens:
            return post("embed", body | {"tokens": True}, wire_format.decode_with_tokens, wire_format.MEDIA_TYPE)
        return post("embed", body, wire_format.decode, wire_format.MEDIA_TYPE)

    def embed_tokens(self, model: str, inputs: Inputs, options: EncodeOptions) -> Ask[Embeddings]:
        """Ask in JSON for the binary answer."""
        return post("embed_tokens", _body(model, inputs, options), wire_format.decode, wire_format.MEDIA_TYPE)

    async def embed_sparse(self, send: Send, model: str, inputs: Inputs, options: EncodeOptions) -> SparseEmbeddings:
        """Ask in JSON for the binary answer."""
        body = _body(model, inputs, options)
        return await send(post("embed_sparse", body, wire_format.decode_sparse, wire_format.MEDIA_TYPE))

    async def rerank(
        self, send: Send, model: str, query: str, documents: Sequence[str], options: EncodeOptions
    ) -> Scores:
        """Ask for the scores of all documents at once."""
        ask = post("rerank", {"model": model, "query": query, "documents": documents} | _fields(options), _scores)
        if scope := tenants.cache_scope():
            ask.headers[wire_format.CACHE_SCOPE] = scope
        return await send(ask)

    async def tokenize(self, send: Send, model: str, texts: Sequence[str]) -> list[list[Token]]:
        """Ask for the tokens of all texts at once."""
        return await send(post("tokenize", {"model": model, "texts": texts}, _tokens))

    async def chunk(
        self, send: Send, model: str, texts: Sequence[str], max_tokens: int, overlap: int
    ) -> list[list[Span]]:
        """Ask for the chunks of all texts at once."""
        body = {"model": model, "texts": texts, "max_tokens": max_tokens, "overlap": overlap}
        return await send(post("chunk", body, _chunks))


def _body(model: str, inputs: Inputs, options: EncodeOptions) -> dict[str, Any]:
    return {"model": model, "texts": inputs} | _fields(options)


def _fields(options: EncodeOptions) -> dict[str, Any]:
    return {"truncate": options.truncate, "lane": options.lane}


def _models(raw: bytes) -> tuple[ModelInfo, ...]:
    health = orjson.loads(raw)
    return tuple(map(_model, health["models"])) if health["status"] == "ok" else ()


def _model(fields: dict[str, Any]) -> ModelInfo:
    """Return a model. Fields of a later version are ignored, and those of an earlier one have their default."""
    fields = {name: value for name, value in fields.items() if name in _MODEL_FIELDS}
    listed = {name: tuple(fields[name]) for name in ("languages", "aliases", "frame", "stands_in_for")}
    prompts = tuple((name, text) for name, text in fields["prompts"])
    cost = PassCost(*fields["pass_cost"]) if fields.get("pass_cost") else None
    return ModelInfo(**(fields | listed | {"prompts": prompts, "pass_cost": cost}))


def _scores(raw: bytes) -> Scores:
    told = orjson.loads(raw)
    return Scores(
        np.asarray(told["scores"], dtype=np.float32),
        told["token_counts"],
        tokenize_ms=told["tokenize_ms"],
        queue_ms=told["queue_ms"],
        infer_ms=told["inference_time_ms"],
    )


def _tokens(raw: bytes) -> list[list[Token]]:
    return [[Token(**token) for token in text] for text in orjson.loads(raw)["tokens"]]


def _chunks(raw: bytes) -> list[list[Span]]:
    return [[(start, stop) for start, stop in text] for text in orjson.loads(raw)["chunks"]]
