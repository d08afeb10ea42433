"""A Backend with no model: hashed words. For development, and to measure what everything but the model costs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from hashlib import blake2b
from typing import Self

import numpy as np

from gateways.core import metrics
from gateways.core.backend import F32, Embeddings, Inputs, Lane, ModelInfo, TokenIds, Truncate
from gateways.core.truncation import check_ids, cut

DIMENSIONS = 384
MAX_TOKENS = 256
VOCABULARY = 30_522
_WORD = re.compile(r"\w+|[^\w\s]")


class PseudoBackend:
    """
    Deterministic vectors: the sum of one +-1 vector per word, drawn from the word's hash.

    Texts that share words are near each other, which is all the meaning there is.
    """

    def __init__(self) -> None:
        self._info = ModelInfo(
            id="pseudo-384",
            kind="dense",
            dimensions=DIMENSIONS,
            max_input_tokens=MAX_TOKENS,
            aliases=("pseudo",),
            precision="pseudo",
            inference_time_ms=0.0,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        pass

    def models(self) -> Sequence[ModelInfo]:
        """Return the one pseudo model."""
        return (self._info,)

    def ready(self) -> bool:
        """Return True: there is nothing to wait for."""
        return True

    def failure(self) -> str | None:
        """Return None: there is nothing that could break."""
        return None

    async def embed(
        self, model: str, inputs: Inputs, *, truncate: Truncate = "END", lane: Lane = "interactive"
    ) -> Embeddings:
        """Hash n texts, or n lists of ids, to float32 (n, 384)."""
        tokens = [cut(_words(item, at), MAX_TOKENS, truncate, at) for at, item in enumerate(inputs)]
        vectors = np.stack([_vector(words) for words in tokens])
        metrics.forward(len(tokens), sum(map(len, tokens)))
        metrics.embedded_texts.inc(len(tokens))
        return Embeddings(vectors=vectors, token_counts=[len(words) for words in tokens])


def _words(item: str | TokenIds, position: int) -> list[str]:
    if isinstance(item, str):
        return _WORD.findall(item.lower()) or [item]
    check_ids(item, VOCABULARY, position)
    return [f"\x00{token}" for token in item]


def _vector(words: list[str]) -> F32:
    digests = b"".join(blake2b(word.encode(), digest_size=DIMENSIONS // 8).digest() for word in words)
    bits = np.unpackbits(np.frombuffer(digests, dtype=np.uint8).reshape(len(words), -1), axis=1)
    signs: F32 = 2 * bits.sum(axis=0, dtype=np.float32) - np.float32(len(words))
    return signs
