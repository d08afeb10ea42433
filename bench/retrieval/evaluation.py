"""Rows of `quality.csv` from rankings: means with confidence intervals, and paired differences to hybrid search."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bench.datasets import Question
from bench.retrieval.search_modes import Answers
from bench.verification import ranking_metrics

F64 = NDArray[np.float64]
RESAMPLES, SEED = 2_000, 1
BASELINE = "hybrid"


@dataclass(frozen=True)
class Row:
    """
    One search mode (`way`) of one target. Quality is in 0..1; `low` and `high` bound its 95 % interval.

    * `over_hybrid`: mean difference of nDCG@10 to hybrid search over the same questions.
    * `p50_ms`: latency of a request with one in flight; `added_p50_ms`: its excess over dense search.
    * `stored_kb`: disk space of the vectors that the mode reads, in 1000 bytes per passage; None if re-chunked.
    * `same_top10`: share of questions with the same ten passages in the same order as the first target.
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
class TargetAnswers:
    """A target's answers by mode, and the size of the vectors that each mode reads, in 1000 bytes per passage."""

    target: str
    precision: str
    by_mode: Mapping[str, Answers]
    stored_kb: Mapping[str, float]


def gains(rankings: Sequence[Sequence[str]], questions: Sequence[Question]) -> F64:
    """Return the nDCG@10 of each question, (n,)."""
    return np.array(
        [
            ranking_metrics.measure([ranking], [question.relevant]).ndcg10
            for ranking, question in zip(rankings, questions, strict=True)
        ]
    )


def interval(values: F64) -> tuple[float, float]:
    """Return the 95 % bootstrap interval of the mean of one value per question."""
    draws = np.random.default_rng(SEED).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.percentile(values[draws].mean(axis=1), [2.5, 97.5])
    return float(low), float(high)


def evaluate(corpus: str, questions: Sequence[Question], own: TargetAnswers, first: TargetAnswers) -> list[Row]:
    """Return a row per mode of the target `own`. The modes `dense` and `hybrid` must be among them."""
    ndcg10 = {name: gains(answers.rankings, questions) for name, answers in own.by_mode.items()}
    dense_ms = float(np.median(own.by_mode["dense"].took_ms))
    rows = []
    for name, answers in own.by_mode.items():
        quality = ranking_metrics.measure(answers.rankings, [question.relevant for question in questions])
        low, high = interval(ndcg10[name])
        over = ndcg10[name] - ndcg10[BASELINE]
        over_low, over_high = interval(over)
        p50_ms = float(np.median(answers.took_ms))
        rows.append(
            Row(
                corpus=corpus,
                target=own.target,
                precision=own.precision,
                way=name,
                questions=len(questions),
                hit1=quality.hit1,
                hit5=quality.hit5,
                mrr10=_mean_reciprocal_rank(answers.rankings, questions),
                ndcg10=quality.ndcg10,
                ndcg10_low=low,
                ndcg10_high=high,
                over_hybrid=float(over.mean()),
                over_hybrid_low=over_low,
                over_hybrid_high=over_high,
                p50_ms=p50_ms,
                added_p50_ms=p50_ms - dense_ms,
                stored_kb=own.stored_kb.get(name),
                same_top10=_share_equal(answers.rankings, first.by_mode[name].rankings),
            )
        )
    return rows


def write(file: Path, rows: Sequence[Row]) -> None:
    """Write the rows as CSV with six significant digits."""
    with file.open("w", newline="") as stream:
        writer = csv.DictWriter(stream, [field.name for field in fields(Row)], lineterminator="\n")
        writer.writeheader()
        for row in rows:
            values = asdict(row).items()
            writer.writerow({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in values})


def _share_equal(a: Sequence[Sequence[str]], b: Sequence[Sequence[str]]) -> float:
    return float(np.mean([left == right for left, right in zip(a, b, strict=True)]))


def _mean_reciprocal_rank(rankings: Sequence[Sequence[str]], questions: Sequence[Question]) -> float:
    """Return MRR@10: the mean of 1 / rank of the first relevant passage among ten, 0 without one."""
    return float(
        np.mean(
            [
                next((1 / rank for rank, key in enumerate(ranking[:10], 1) if key in question.relevant), 0.0)
                for ranking, question in zip(rankings, questions, strict=True)
            ]
        )
    )
