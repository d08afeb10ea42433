"""A Backend with no model: hashed words. For development, and to measure what everything but the model costs."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Self, TypeAlias

import numpy as np
import numpy.typing as npt

from gateways.core.backend import (
    DEFAULT_OPTIONS,
    F32,
    Embeddings,
    EncodeOptions,
    Inputs,
    Kind,
    ModelInfo,
    Scores,
    Span,
    SparseEmbeddings,
    Token,
    TokenIds,
    TokenVectors,
    Truncate,
)
from gateways.core.errors import GatewayError, InvalidInput, NotFound
from gateways.core.observability import metrics
from gateways.core.scoring.late_interaction import maxsim
from gateways.core.text.chunking import chunk
from gateways.core.text.truncation import check_ids, cut, of_document
from gateways.core.text.windows import MAX_WINDOW, cut_text

DIMENSIONS = {"pseudo-384": 384, "pseudo-64": 64}
DEFAULT = "pseudo-384"
MAX_TOKENS = 256
VOCABULARY = 30_522
# Longer requests are hashed in a thread.
INLINE_CHARACTERS = 100_000
U8: TypeAlias = npt.NDArray[np.uint8]
_WORD = re.compile(r"\w+|[^\w\s]")


class PseudoBackend:
    """
    Deterministic vectors: a word's is a unit vector drawn from its hash, a text's is the sum of its words'.

    Texts that share words are near each other, which is all the meaning there is.
    """

    def __init__(self) -> None:
        default, *others = (_info(model, "dense", dimensions) for model, dimensions in DIMENSIONS.items())
        late = dataclasses.replace(_info("late-interaction", "rerank", 0), scores="cosines", of=DEFAULT)
        self._infos = (dataclasses.replace(default, aliases=("pseudo",)), *others, late)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    def models(self) -> Sequence[ModelInfo]:
        """Return the pseudo models, and the late interaction over the words of the first."""
        return self._infos

    def ready(self) -> bool:
        """Return True: there is nothing to wait for."""
        return True

    def failure(self) -> str | None:
        """Return None: there is nothing that could break."""
        return None

    def refusal(self, within_s: float, before_bytes: int = 0) -> GatewayError | None:
        """Return None: nothing waits here."""
        return None

    async def embed(self, model: str, inputs: Inputs, options: EncodeOptions = DEFAULT_OPTIONS) -> Embeddings:
        """Hash n texts, or n lists of ids, to float32 (n, dimensions)."""
        if options.lane == "bulk" or sum(map(len, inputs)) > INLINE_CHARACTERS:
            return await asyncio.to_thread(_embed, model, inputs, options)
        return _embed(model, inputs, options)

    async def embed_tokens(self, model: str, inputs: Inputs, options: EncodeOptions = DEFAULT_OPTIONS) -> Embeddings:
        """Hash every word of n texts to a unit vector; those of a text add up to its vector."""
        if sum(map(len, inputs)) > INLINE_CHARACTERS:
            return await asyncio.to_thread(_embed_words, model, inputs, options)
        return _embed_words(model, inputs, options)

    async def embed_sparse(
        self, model: str, inputs: Inputs, options: EncodeOptions = DEFAULT_OPTIONS
    ) -> SparseEmbeddings:
        """Raise NotFound: BM25, the one sparse model, needs no backend."""
        raise NotFound(f"{model!r} is no sparse model of this gateway", param="model", code="unknown_model")

    async def rerank(
        self, model: str, query: str, documents: Sequence[str], options: EncodeOptions = DEFAULT_OPTIONS
    ) -> Scores:
        """Score n documents by which of the query's words they hold."""
        try:
            answer = await self.embed_tokens(DEFAULT, [query, *documents], options)
        except InvalidInput as error:
            raise of_document(error, error.item - 1) from error
        texts = np.split(answer.vectors, np.cumsum(answer.token_counts)[:-1])
        return Scores(maxsim(texts[0], texts[1:]), answer.token_counts)

    async def tokenize(self, model: str, texts: Sequence[str]) -> list[list[Token]]:
        """Return the words of n texts; ids are of their hashes, and not those that `embed` would know them by."""
        return [
            [Token(_id(found[0]), found[0], False, *found.span()) for found in _WORD.finditer(text)] for text in texts
        ]

    async def chunk(self, model: str, texts: Sequence[str], max_tokens: int, overlap: int) -> list[list[Span]]:
        """Cut n texts into chunks of at most `max_tokens` words."""
        return await asyncio.to_thread(chunk, count_words, texts, max_tokens, overlap)


def count_words(text: str) -> int:
    """Count words, and signs that are none."""
    return sum(1 for _ in _WORD.finditer(text))


def _info(model: str, kind: Kind, dimensions: int) -> ModelInfo:
    return ModelInfo(
        id=model,
        kind=kind,
        dimensions=dimensions,
        max_input_tokens=MAX_TOKENS,
        precision="pseudo",
        inference_time_ms=0.0,
        frame=(0, 0),
    )


def _embed_words(model: str, inputs: Inputs, options: EncodeOptions) -> Embeddings:
    tokens = _read(inputs, options.truncate)
    vectors = np.concatenate([_signs(_bits(words, DIMENSIONS[model])) for words in tokens])
    return Embeddings(vectors, [len(words) for words in tokens])


def _embed(model: str, inputs: Inputs, options: EncodeOptions) -> Embeddings:
    read = _read(inputs, options.truncate)
    bits = [_bits(words, DIMENSIONS[model]) for words in read]
    counts = [len(words) for words in read]
    of_words = (
        TokenVectors(np.concatenate([_signs(its) for its in bits]).astype(np.float16), counts)
        if options.tokens
        else None
    )
    return Embeddings(np.stack([_sum(its) for its in bits]), counts, of_words)


def _read(inputs: Inputs, truncate: Truncate) -> list[list[str]]:
    tokens = [_cut_words(item, truncate, at) for at, item in enumerate(inputs)]
    metrics.forward(len(tokens), sum(map(len, tokens)))
    metrics.embedded_texts.inc(len(tokens))
    return tokens


def _cut_words(item: str | TokenIds, truncate: Truncate, position: int) -> list[str]:
    window = cut_text(item, MAX_WINDOW, truncate) if isinstance(item, str) else item
    return cut(_words(window, position), MAX_TOKENS, truncate, position, whole=len(window) == len(item))


def _words(item: str | TokenIds, position: int) -> list[str]:
    if isinstance(item, str):
        return _WORD.findall(item.lower()) or [item]
    check_ids(item, VOCABULARY, position)
    return [f"\x00{token}" for token in item]


def _bits(words: Sequence[str], dimensions: int) -> U8:
    """Return the bits of n words' hashes, uint8 (n, dimensions)."""
    digests = b"".join(blake2b(word.encode(), digest_size=dimensions // 8).digest() for word in words)
    return np.unpackbits(np.frombuffer(digests, dtype=np.uint8).reshape(len(words), -1), axis=1)


def _signs(bits: U8) -> F32:
    """Return n unit vectors whose entries are positive where a bit is set, negative elsewhere."""
    signs: F32 = (bits * np.float32(2) - np.float32(1)) / np.float32(bits.shape[1] ** 0.5)
    return signs


def _sum(bits: U8) -> F32:
    """Return the sum of the n vectors that `_signs` makes, without making them."""
    total = 2 * bits.sum(axis=0, dtype=np.float32) - np.float32(len(bits))
    scaled: F32 = total / np.float32(bits.shape[1] ** 0.5)
    return scaled


def _id(word: str) -> int:
    return int.from_bytes(blake2b(word.lower().encode(), digest_size=8).digest()) % VOCABULARY
