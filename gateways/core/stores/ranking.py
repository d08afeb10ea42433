"""Rankings of passages by key: sorted in one order, and fused."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from gateways.core.scoring.fusion import RRF_K

# The key of a passage, and its score.
Score: TypeAlias = tuple[uuid.UUID, float]

# Additional candidates beyond k. Among passages with equal scores, the same ones are then returned every time.
TIE_MARGIN = 8


def sort_scores(scores: Iterable[Score], k: int) -> list[Score]:
    """Return the k best scores, best first; equal scores are ordered by key."""
    return sorted(scores, key=lambda score: (-score[1], score[0]))[:k]


def fuse_ranks(rankings: Iterable[Sequence[Score]], k: int) -> list[Score]:
    """Return the k best by reciprocal rank fusion: the sum of 1 / (RRF_K + rank) over the rankings of a passage."""
    sums: dict[uuid.UUID, float] = {}
    for ranking in rankings:
        for rank, (key, _) in enumerate(ranking, 1):
            sums[key] = sums.get(key, 0.0) + 1 / (RRF_K + rank)
    return sort_scores(sums.items(), k)


def drop_below(scores: Iterable[Score], min_score: float | None) -> list[Score]:
    """Return the scores that are at least `min_score`, all for None."""
    return [(key, score) for key, score in scores if min_score is None or score >= min_score]
