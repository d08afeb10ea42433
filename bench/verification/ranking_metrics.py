"""Retrieval metrics of rankings: hit@1, hit@5 and nDCG@10."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.arrays import F32
from bench.datasets import Question
from bench.verification.reference import Reference

DEPTH = 10


@dataclass(frozen=True)
class Quality:
    """Means of the metrics over the questions, each in 0..1."""

    hit1: float
    hit5: float
    ndcg10: float

    def worst_gap_points(self, other: Quality) -> float:
        """Return the largest shortfall against `other`, in points of 100; negative if every metric is better."""
        pairs = ((self.hit1, other.hit1), (self.hit5, other.hit5), (self.ndcg10, other.ndcg10))
        return max(100 * (expected - value) for value, expected in pairs)


def measure(rankings: Sequence[Sequence[str]], relevant: Sequence[Mapping[str, int]]) -> Quality:
    """
    Return the quality of rankings (passage ids, best first), each against its relevance grades by passage id.

    nDCG is the sum of grade / log2(rank + 1) over the first ten, divided by the same sum of the ideal ranking
    (Järvelin and Kekäläinen 2002, with the gain and the discount of trec_eval).
    """
    pairs = list(zip(rankings, relevant, strict=True))
    return Quality(
        hit1=_mean([_hit(ranking[:1], grades) for ranking, grades in pairs]),
        hit5=_mean([_hit(ranking[:5], grades) for ranking, grades in pairs]),
        ndcg10=_mean([_ndcg(ranking, grades) for ranking, grades in pairs]),
    )


def rank_by_dot(queries: F32, passages: F32, ids: Sequence[str]) -> list[list[str]]:
    """Return the exact top 10 of each query by dot product: (q, d), (p, d) -> q lists of ids."""
    order = np.argsort(-(queries @ passages.T), axis=1, kind="stable")[:, :DEPTH]
    return [[ids[i] for i in row] for row in order]


def measure_reference(reference: Reference, questions: Sequence[Question]) -> Quality:
    """Return the quality of exact dense search over the reference's vectors."""
    queries = reference.vectors([question.text for question in questions])
    exact = rank_by_dot(queries, reference.passages, reference.passage_ids)
    return measure(exact, [question.relevant for question in questions])


def _hit(ranking: Sequence[str], grades: Mapping[str, int]) -> bool:
    return not grades.keys().isdisjoint(ranking)


def _ndcg(ranking: Sequence[str], grades: Mapping[str, int]) -> float:
    best = _gain(sorted(grades.values(), reverse=True))
    return _gain([grades.get(key, 0) for key in ranking]) / best if best else 0.0


def _gain(grades: Sequence[int]) -> float:
    return sum(grade / math.log2(rank + 1) for rank, grade in enumerate(grades[:DEPTH], start=1))


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else math.nan
