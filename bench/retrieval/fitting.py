"""
From what questions retrieved to weights: how much each score says, and what it is worth in nDCG@10.

Weights are fitted twice: so that what answers wins among the candidates of its question (a softmax over them), then,
along that direction, so that the score is how likely a passage answers (a logistic regression). Each corpus has the
same say.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray
from scipy.optimize import minimize

from bench import quality
from bench.api import Api
from bench.datasets import Question

F64 = NDArray[np.float64]
KINDS = ("dense", "sparse", "late")
# The combinations of scores that a search may have.
COMBINATIONS = (("dense", "sparse"), ("dense", "late"), ("dense", "sparse", "late"))
CONSTANTS = (1, 2, 3, 5, 10, 20, 40, 60)
# So deep is each ranking that is fused, and so many of the fused ones are judged: as the gateway does.
DEPTH, JUDGED = 100, 20
# Keeps weights finite where few questions are all there is.
_RIDGE = 1e-3


@dataclass(frozen=True)
class Candidates:
    """What a question retrieved: n ids, ranks by dense and sparse (n, 2), inf for none, scores by KINDS (n, 3)."""

    question: Question
    ids: list[str]
    ranks: F64
    scores: F64

    @property
    def answers(self) -> F64:
        """Which of them answer, (n,) of 0 and 1."""
        return np.array([float(found in self.question.relevant) for found in self.ids])


@dataclass(frozen=True)
class Weights:
    """A direction in the scores of some kinds, its scale and bias included; 0 for kinds that were left out."""

    bias: float
    by_kind: dict[str, float]

    def order(self, asked: Candidates) -> list[str]:
        """The ids, most relevant first."""
        return _ordered(asked, asked.scores @ np.array([self.by_kind[kind] for kind in KINDS]))


def ask(api: Api, question: Question) -> Candidates:
    """Search once, hybrid and reranked, with everything explained."""
    body = {
        "query": question.text,
        "top_k": 2 * DEPTH,
        "mode": "hybrid",
        "rerank": "late-interaction",
        "explain": True,
    }
    results = orjson.loads(api.post("/v1/search", orjson.dumps(body)))["results"]
    results.sort(key=lambda result: result["id"])  # or else equal ranks would stand in the order of their relevance
    explained = [result["explain"] for result in results]
    ranks = [[_rank(its["ranks"]["dense"]), _rank(its["ranks"]["sparse"])] for its in explained]
    scores = [[its[kind] for kind in KINDS] for its in explained]
    ids = [result["id"] for result in results]
    return Candidates(question, ids, np.array(ranks), np.array(scores, dtype=np.float64))


def reciprocal_ranks(asked: Candidates, constant: int) -> list[str]:
    """The ids by the sum of 1 / (constant + rank) over both rankings."""
    return _ordered(asked, (1 / (constant + asked.ranks)).sum(axis=1))


def judged(asked: Candidates, constant: int) -> Candidates:
    """Those candidates that a reranked search would judge: the best by reciprocal ranks."""
    kept = np.argsort(-(1 / (constant + asked.ranks)).sum(axis=1), kind="stable")[:JUDGED]
    return Candidates(asked.question, [asked.ids[at] for at in kept], asked.ranks[kept], asked.scores[kept])


def fit(corpora: Sequence[Sequence[Candidates]], kinds: Sequence[str]) -> Weights:
    """The weights of some kinds of scores, every corpus and every question of it with the same say."""
    columns = [KINDS.index(kind) for kind in kinds]
    direction = _direction(corpora, columns)
    bias, scale = _calibration(corpora, columns, direction)
    return Weights(bias, dict.fromkeys(KINDS, 0.0) | dict(zip(kinds, map(float, scale * direction), strict=True)))


def ndcg10(corpus: Sequence[Candidates], order: Callable[[Candidates], list[str]]) -> float:
    """nDCG@10 of the candidates in some order."""
    return quality.measure([order(its) for its in corpus], [its.question.relevant for its in corpus]).ndcg10


def _direction(corpora: Sequence[Sequence[Candidates]], columns: Sequence[int]) -> F64:
    """Maximise the likelihood of what answers under a softmax over the candidates of each question."""
    asked = [
        (its.scores[:, columns], its.answers / its.answers.sum(), 1 / len(corpus))
        for corpus in corpora
        for its in corpus
        if 0 < its.answers.sum() < len(its.ids)
    ]

    def loss(values: F64) -> tuple[float, F64]:
        total, slope = _RIDGE * float(values @ values), 2 * _RIDGE * values
        for scores, answers, say in asked:
            logits = scores @ values
            shares = np.exp(logits - logits.max())
            total -= say * float(answers @ (logits - logits.max()) - np.log(shares.sum()))
            slope -= say * (scores.T @ (answers - shares / shares.sum()))
        return total, slope

    return np.asarray(minimize(loss, np.zeros(len(columns)), jac=True, method="L-BFGS-B").x)


def _calibration(
    corpora: Sequence[Sequence[Candidates]], columns: Sequence[int], direction: F64
) -> tuple[float, float]:
    """Bias and scale under which 1 / (1 + exp(-(bias + scale * score))) is how often such a passage answers."""
    scores = np.concatenate([its.scores[:, columns] @ direction for corpus in corpora for its in corpus])
    answers = np.concatenate([its.answers for corpus in corpora for its in corpus])
    sizes = [sum(len(its.ids) for its in corpus) for corpus in corpora]
    say = np.concatenate([np.full(size, 1 / size) for size in sizes])

    def loss(values: F64) -> float:
        logits = values[0] + values[1] * scores
        return float((say * (np.logaddexp(0, logits) - answers * logits)).sum())

    bias, scale = minimize(loss, np.array([0.0, 1.0]), method="BFGS").x
    return float(bias), float(scale)


def _ordered(asked: Candidates, values: F64) -> list[str]:
    return [asked.ids[at] for at in np.argsort(-values, kind="stable")]


def _rank(rank: int | None) -> float:
    return np.inf if rank is None or rank > DEPTH else float(rank)
