"""Rankings of passages by their keys: in one order always, and fused."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import TypeAlias

from gateways.core.fusion import RRF_K

# A passage's key, and its score.
Ranked: TypeAlias = tuple[uuid.UUID, float]

# So many more are ranked than are asked for: of passages with equal scores the same ones are returned every time.
TIED = 8


def best_first(its: Ranked) -> tuple[float, uuid.UUID]:
    """Order by score, and equal scores by key."""
    return -its[1], its[0]


def fused(rankings: Iterable[Sequence[Ranked]], k: int) -> list[Ranked]:
    """Return the k best by reciprocal ranks: the sum of 1 / (RRF_K + rank) over the rankings that have a passage."""
    worth: dict[uuid.UUID, float] = {}
    for ranking in rankings:
        for rank, (one, _) in enumerate(ranking, 1):
            worth[one] = worth.get(one, 0.0) + 1 / (RRF_K + rank)
    return sorted(worth.items(), key=best_first)[:k]
