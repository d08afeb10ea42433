"""How well a ranking finds the passage that answers: hit@1, hit@5 and nDCG@10, one relevant passage a question."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.reference import F32

DEPTH = 10


@dataclass(frozen=True)
class Quality:
    """Means over the questions, each in 0..1."""

    hit1: float
    hit5: float
    ndcg10: float

    def worst_gap_points(self, other: Quality) -> float:
        """The largest shortfall of this one against another, in points of 100; below zero when it is better."""
        pairs = ((self.hit1, other.hit1), (self.hit5, other.hit5), (self.ndcg10, other.ndcg10))
        return max(100 * (theirs - mine) for mine, theirs in pairs)


def measure(rankings: Sequence[Sequence[str]], relevant: Sequence[str]) -> Quality:
    """
    Quality of rankings (passage ids, best first), each against the id of its one relevant passage.

    nDCG with one relevant document is 1 / log2(rank + 1) (Järvelin and Kekäläinen 2002).
    """
    ranks = [_rank(ranking, answer) for ranking, answer in zip(rankings, relevant, strict=True)]
    return Quality(
        hit1=_mean([rank == 1 for rank in ranks]),
        hit5=_mean([rank <= 5 for rank in ranks]),
        ndcg10=_mean([1 / math.log2(rank + 1) if rank <= DEPTH else 0.0 for rank in ranks]),
    )


def rank_by_dot(queries: F32, passages: F32, ids: Sequence[str]) -> list[list[str]]:
    """The exact top 10 of every query by dot product: (q, d), (p, d) -> q lists of ids."""
    order = np.argsort(-(queries @ passages.T), axis=1, kind="stable")[:, :DEPTH]
    return [[ids[i] for i in row] for row in order]


def _rank(ranking: Sequence[str], answer: str) -> float:
    return ranking.index(answer) + 1 if answer in ranking else math.inf


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
