"""What a late interaction keeps of a text: all tokens of a question, of a document what is worth storing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from gateways.core.backend import F32, ModelInfo, TokenIds
from gateways.core.vectors import normalize

# So many neighbours of a document share a vector: see results/quality/ for what each costs and loses.
POOLED = 2


class Interacting:
    """The verbs of a dense model for both sides of a late interaction: one pass gives a text's vector and tokens'."""

    info: ModelInfo

    def encode_with_tokens(self, batch: Sequence[TokenIds]) -> Iterable[tuple[F32, F32]]:
        """Return the pooled vector (dimensions,) and the last hidden states (tokens, dimensions) of n token lists."""
        raise NotImplementedError

    def encode_query(self, batch: Sequence[TokenIds]) -> list[tuple[F32, F32]]:
        """Return pooled vectors, and unit vectors of all tokens but the special ones."""
        frame = self.info.frame
        return [(vector, normalize(inner(states, frame))) for vector, states in self.encode_with_tokens(batch)]

    def encode_document(self, batch: Sequence[TokenIds]) -> list[tuple[F32, F32]]:
        """Return pooled vectors, and fewer unit vectors than there are tokens."""
        frame = self.info.frame
        return [(vector, pool(normalize(inner(states, frame)))) for vector, states in self.encode_with_tokens(batch)]


def inner(rows: F32, frame: tuple[int, int]) -> F32:
    """
    Return the rows of a text's own tokens, a view.

    A text may be no token at all, such as a control character: then its special tokens speak for it.
    """
    before, after = frame
    return rows[before : len(rows) - after] if len(rows) > before + after else rows


def pool(rows: F32) -> F32:
    """Return the directions between neighbours: (t, d) unit vectors to (ceil(t / POOLED), d)."""
    return normalize(np.add.reduceat(rows, np.arange(0, len(rows), POOLED), axis=0))
