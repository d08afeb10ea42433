"""What a late interaction compares: unit vectors of a text's own tokens, by the pass that embeds the text."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from gateways.core.backend import F16, F32, ModelInfo, TokenIds
from gateways.core.vectors import normalize


class Interacting:
    """The verb of a dense model that a late interaction needs."""

    info: ModelInfo

    def encode_states(self, batch: Sequence[TokenIds]) -> Iterable[tuple[F32, F32]]:
        """Return the pooled vector (dimensions,) and the last hidden states (tokens, dimensions) of n token lists."""
        raise NotImplementedError

    def encode_with_tokens(self, batch: Sequence[TokenIds]) -> list[tuple[F32, F16]]:
        """Return pooled vectors, and unit vectors (tokens, dimensions) of all tokens but the special ones."""
        frame = self.info.frame
        return [
            (vector, normalize(inner(states, frame)).astype(np.float16))
            for vector, states in self.encode_states(batch)
        ]


def inner(rows: F32, frame: tuple[int, int]) -> F32:
    """
    Return the rows of a text's own tokens, a view.

    A text may be no token at all, such as a control character: then its special tokens speak for it.
    """
    before, after = frame
    return rows[before : len(rows) - after] if len(rows) > before + after else rows
