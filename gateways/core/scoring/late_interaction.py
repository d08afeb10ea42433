"""Late interaction (ColBERT's MaxSim): every query token is compared with its nearest document token."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from gateways.core.backend import F16, F32, ModelInfo, TokenIds
from gateways.core.scoring.vectors import clip_cosines, normalize


def maxsim(query: F32, documents: Sequence[F32]) -> F32:
    """
    Return the scores of n documents, (n,): the mean over query tokens of the greatest cosine to a document token.

    `query` is float32 (q, d), each document float32 (t, d) with t >= 1; rows need not be unit vectors. The sum of
    MaxSim (Khattab & Zaharia 2020, ColBERT) is divided by q, so that long and short queries have comparable scores.
    Documents are scored one at a time. All at once would copy tens of MB of token vectors to save microseconds.
    """
    query_unit = normalize(query).T
    scores = [(normalize(document) @ query_unit).max(axis=0).mean() for document in documents]
    return clip_cosines(np.array(scores, dtype=np.float32))


class TokenEncoder:
    """Token vectors for a dense model that implements `encode_states`."""

    info: ModelInfo

    def encode_states(self, batch: Sequence[TokenIds]) -> Iterable[tuple[F32, F32]]:
        """Return, for each of n token lists, the pooled vector (d,) and the last hidden states (tokens, d)."""
        raise NotImplementedError

    def encode_with_tokens(self, batch: Sequence[TokenIds]) -> list[tuple[F32, F16]]:
        """Return, for each of n token lists, the pooled vector (d,) and the unit vectors (t, d) of its own tokens."""
        frame = self.info.frame
        return [
            (vector, normalize(inner(states, frame)).astype(np.float16))
            for vector, states in self.encode_states(batch)
        ]


def inner(rows: F32, frame: tuple[int, int]) -> F32:
    """
    Return a view of `rows` without the `frame` of special tokens, (before, after).

    A text such as one control character has no token of its own. All rows are returned then.
    """
    before, after = frame
    return rows[before : len(rows) - after] if len(rows) > before + after else rows
