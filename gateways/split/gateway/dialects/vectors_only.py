"""An embed service of another make that returns vectors, and nothing else that we know of."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

import numpy as np
import orjson

from gateways.core.backend import (
    DEFAULT_OPTIONS,
    F32,
    UNKNOWN_PRECISION,
    Embeddings,
    EncodeOptions,
    Inputs,
    ModelInfo,
    Scores,
    Span,
    SparseEmbeddings,
    Token,
)
from gateways.core.errors import InvalidRequest
from gateways.core.inference.pseudo_backend import count_words
from gateways.core.settings import UpstreamSettings
from gateways.core.text.chunking import chunk
from gateways.split.gateway.dialects.base import Ask, Send, post

# It does not say how much it reads; embedding models that read less are rare.
ASSUMED_TOKENS = 512


class VectorsOnly:
    """A service that tells nothing of its model: it is measured with one text."""

    refresh_s = math.inf

    def __init__(self, path: str, field: str, read: Callable[[Any], Any], settings: UpstreamSettings) -> None:
        self._path = path
        self._field = field
        self._read = read
        self._model = settings.model
        self.most_inputs = settings.max_inputs

    async def models(self, send: Send) -> tuple[ModelInfo, ...]:
        """Embed one text to learn the dimensions."""
        probe = await send(self.embed("", ["probe"], DEFAULT_OPTIONS))
        name = self._model or "upstream"
        dimensions = probe.vectors.shape[1]
        return (ModelInfo(name, "dense", dimensions, ASSUMED_TOKENS, precision=UNKNOWN_PRECISION, frame=(0, 0)),)

    def embed(self, model: str, inputs: Inputs, options: EncodeOptions) -> Ask[Embeddings]:
        """Ask as its clients do; it decides itself how it truncates, so another wish than END is refused."""
        if options.tokens:
            refuse("vectors of single tokens")
        if options.truncate != "END":
            raise InvalidRequest(
                f"truncate: {options.truncate} is not to be had from this gateway's embed service; "
                "it truncates at the end.",
                param="truncate",
            )
        body: dict[str, Any] = {self._field: inputs}
        return post(self._path, body | ({"model": self._model} if self._model else {}), self._vectors)

    def embed_tokens(self, model: str, inputs: Inputs, options: EncodeOptions) -> Ask[Embeddings]:
        """Refuse: there is no customary way to ask."""
        refuse("vectors of single tokens")

    async def embed_sparse(self, send: Send, model: str, inputs: Inputs, options: EncodeOptions) -> SparseEmbeddings:
        """Refuse: there is no such model."""
        refuse("sparse vectors")

    async def rerank(
        self, send: Send, model: str, query: str, documents: Sequence[str], options: EncodeOptions
    ) -> Scores:
        """Refuse: there is no such model."""
        refuse("scores")

    async def tokenize(self, send: Send, model: str, texts: Sequence[str]) -> list[list[Token]]:
        """Refuse: its tokenizer is not to be had."""
        refuse("tokens")

    async def chunk(
        self, send: Send, model: str, texts: Sequence[str], max_tokens: int, overlap: int
    ) -> list[list[Span]]:
        """Cut here, by words and signs: what its tokenizer counts is not to be had."""
        return await asyncio.to_thread(chunk, count_words, texts, max_tokens, overlap)

    def _vectors(self, raw: bytes) -> Embeddings:
        """Read the vectors; the service counts no tokens, so they are counted as none."""
        vectors: F32 = np.asarray(self._read(orjson.loads(raw)), dtype=np.float32)
        if vectors.ndim != 2:
            raise ValueError("it is not a list of vectors of one length")
        return Embeddings(vectors, [0] * len(vectors))


def refuse(what: str) -> NoReturn:
    """Raise InvalidRequest: what is asked for is not to be had."""
    raise InvalidRequest(f"this gateway's embed service gives no {what}", code="not_supported")
