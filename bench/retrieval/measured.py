"""From rankings to the rows of `quality.csv`: means with intervals over questions, paired against hybrid search."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench import quality
from bench.datasets import Question
from bench.retrieval.ways import Asked

F64 = NDArray[np.float64]
RESAMPLES, SEED = 2_000, 1
BASELINE = "hybrid"


@dataclass(frozen=True)
class Row:
    """
    One way of searching one target. Quality in 0..1; `low` and `high` bound its 95 % interval over questions.

    `over_hybrid` is the mean difference of nDCG@10 to hybrid search for the same questions. `p50_ms` is of a whole
    request with one in flight, `added_p50_ms` what it is more than dense search's. `stored_kb` is what the vectors
    it reads take on disk, in 1000 bytes a passage; None where passages were cut anew. `same_top10` is the share of
    questions that it answers with the same ten passages in the same order as the first target measured.
    """

    corpus: str
    target: str
    precision: str
    way: str
    questions: int
    hit1: float
    hit5: float
    mrr10: float
    ndcg10: float
    ndcg10_low: float
    ndcg10_high: float
    over_hybrid: float
    over_hybrid_low: float
    over_hybrid_high: float
    p50_ms: float
    added_p50_ms: float
    stored_kb: float | None
    same_top10: float


@dataclass(frozen=True)
class Searched:
    """What a target found each way, and what the vectors that the way reads take, in 1000 bytes a passage."""

    target: str
    precision: str
    asked: Mapping[str, Asked]
    stored_kb: Mapping[str, float]


def gains(rankings: Sequence[Sequence[str]], questions: Sequence[Question]) -> F64:
    """nDCG@10 of each question, (n,)."""
    return np.array(
        [
            quality.measure([ranking], [question.relevant]).ndcg10
            for ranking, question in zip(rankings, questions, strict=True)
        ]
    )


def interval(values: F64) -> tuple[float, float]:
    """95 % interval of the mean of one value a question: percentiles of resamples of the questions."""
    draws = np.random.default_rng(SEED).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def rows(corpus: str, questions: Sequence[Question], of: Searched, first: Searched) -> list[Row]:
    """A row for each way, in the order asked; `dense` and `hybrid` must be among them."""
    of_way = {name: gains(its.rankings, questions) for name, its in of.asked.items()}
    dense_ms = float(np.median(of.asked["dense"].took_ms))
    made = []
    for name, its in of.asked.items():
        found = quality.measure(its.rankings, [question.relevant for question in questions])
        low, high = interval(of_way[name])
        over = of_way[name] - of_way[BASELINE]
        over_low, over_high = interval(over)
        p50_ms = float(np.median(its.took_ms))
        made.append(
            Row(
                corpus=corpus,
                target=of.target,
                precision=of.precision,
                way=name,
                questions=len(questions),
                hit1=found.hit1,
                hit5=found.hit5,
                mrr10=_mrr(its.rankings, questions),
                ndcg10=found.ndcg10,
                ndcg10_low=low,
                ndcg10_high=high,
                over_hybrid=float(over.mean()),
                over_hybrid_low=over_low,
                over_hybrid_high=over_high,
                p50_ms=p50_ms,
                added_p50_ms=p50_ms - dense_ms,
                stored_kb=of.stored_kb.get(name),
                same_top10=_same(its.rankings, first.asked[name].rankings),
            )
        )
    return made


def write(file: Path, made: Sequence[Row]) -> None:
    """Write the rows as CSV, six digits each."""
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        for row in made:
            values = asdict(row).items()
            writer.writerow({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in values})


def _same(rankings: Sequence[Sequence[str]], others: Sequence[Sequence[str]]) -> float:
    return float(np.mean([one == other for one, other in zip(rankings, others, strict=True)]))


def _mrr(rankings: Sequence[Sequence[str]], questions: Sequence[Question]) -> float:
    """Mean of 1 / rank of the first passage that answers among the first ten, 0 where none does."""
    return float(
        np.mean(
            [
                next((1 / rank for rank, found in enumerate(ranking[:10], 1) if found in question.relevant), 0.0)
                for ranking, question in zip(rankings, questions, strict=True)
            ]
        )
    )
