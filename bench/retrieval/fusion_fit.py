"""
Fitting the weights of score fusion on retrieved candidates, and their nDCG@10.

The fit has two steps. A softmax over the candidates of each question gives the direction of the weights, so that
relevant passages win. A logistic regression along that direction gives scale and bias, so that the score is the
log-odds that a passage answers. Every corpus has the same total weight.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray
from scipy.optimize import minimize

from bench.datasets import Question
from bench.targets.api_client import Api
from bench.verification import ranking_metrics

F64 = NDArray[np.float64]
KINDS = ("dense", "sparse", "late")
# The combinations of scores that a search may use.
COMBINATIONS = (("dense", "sparse"), ("dense", "late"), ("dense", "sparse", "late"))
CONSTANTS = (1, 2, 3, 5, 10, 20, 40, 60)
# The gateway's own values: the depth of each fused ranking, and the number of fused candidates that it reranks.
DEPTH, TOP = 100, 20
# Regularisation, which keeps the weights finite with few questions.
_RIDGE = 1e-3


@dataclass(frozen=True)
class Candidates:
    """The n candidates of a question: ids, dense and sparse ranks (n, 2), inf for none, scores by KINDS (n, 3)."""

    question: Question
    ids: list[str]
    ranks: F64
    scores: F64

    @property
    def answers(self) -> F64:
        """1.0 for each relevant candidate, else 0.0, (n,)."""
        return np.array([float(key in self.question.relevant) for key in self.ids])


@dataclass(frozen=True)
class Weights:
    """The bias and the weight of each kind of score; the weight of an unused kind is 0."""

    bias: float
    by_kind: dict[str, float]

    def order(self, candidates: Candidates) -> list[str]:
        """Return the ids, most relevant first."""
        return _sort_ids(candidates, candidates.scores @ np.array([self.by_kind[kind] for kind in KINDS]))


def retrieve(api: Api, question: Question) -> Candidates:
    """Return the candidates of a hybrid, reranked search with explained scores."""
    body = {
        "query": question.text,
        "top_k": 2 * DEPTH,
        "mode": "hybrid",
        "rerank": "late-interaction",
        "explain": True,
    }
    results = orjson.loads(api.post("/v1/search", orjson.dumps(body)))["results"]
    results.sort(key=lambda result: result["id"])  # results come by relevance, which must not break ties of rank
    explained = [result["explain"] for result in results]
    ranks = [[_parse_rank(entry["ranks"]["dense"]), _parse_rank(entry["ranks"]["sparse"])] for entry in explained]
    scores = [[entry[kind] for kind in KINDS] for entry in explained]
    ids = [result["id"] for result in results]
    return Candidates(question, ids, np.array(ranks), np.array(scores, dtype=np.float64))


def reciprocal_ranks(candidates: Candidates, constant: int) -> list[str]:
    """Return the ids by reciprocal rank fusion: the sum of 1 / (constant + rank) over both rankings."""
    return _sort_ids(candidates, (1 / (constant + candidates.ranks)).sum(axis=1))


def keep_top(candidates: Candidates, constant: int) -> Candidates:
    """Return the candidates that a reranked search would rerank: the best by reciprocal rank fusion."""
    top = np.argsort(-(1 / (constant + candidates.ranks)).sum(axis=1), kind="stable")[:TOP]
    ids = [candidates.ids[i] for i in top]
    return Candidates(candidates.question, ids, candidates.ranks[top], candidates.scores[top])


def fit(corpora: Sequence[Sequence[Candidates]], kinds: Sequence[str]) -> Weights:
    """Return the weights of the kinds; every corpus weighs the same, and so does every question within it."""
    columns = [KINDS.index(kind) for kind in kinds]
    direction = _fit_direction(corpora, columns)
    bias, scale = _fit_calibration(corpora, columns, direction)
    return Weights(bias, dict.fromkeys(KINDS, 0.0) | dict(zip(kinds, map(float, scale * direction), strict=True)))


def ndcg10(corpus: Sequence[Candidates], order: Callable[[Candidates], list[str]]) -> float:
    """Return the nDCG@10 of a corpus' candidates in the order of `order`."""
    rankings = [order(candidates) for candidates in corpus]
    return ranking_metrics.measure(rankings, [candidates.question.relevant for candidates in corpus]).ndcg10


def _fit_direction(corpora: Sequence[Sequence[Candidates]], columns: Sequence[int]) -> F64:
    """Maximise the likelihood of relevant passages under a softmax over the candidates of each question."""
    samples = [
        (candidates.scores[:, columns], candidates.answers / candidates.answers.sum(), 1 / len(corpus))
        for corpus in corpora
        for candidates in corpus
        if 0 < candidates.answers.sum() < len(candidates.ids)
    ]

    def loss(values: F64) -> tuple[float, F64]:
        total, slope = _RIDGE * float(values @ values), 2 * _RIDGE * values
        for scores, answers, weight in samples:
            logits = scores @ values
            shares = np.exp(logits - logits.max())
            total -= weight * float(answers @ (logits - logits.max()) - np.log(shares.sum()))
            slope -= weight * (scores.T @ (answers - shares / shares.sum()))
        return total, slope

    return np.asarray(minimize(loss, np.zeros(len(columns)), jac=True, method="L-BFGS-B").x)


def _fit_calibration(
    corpora: Sequence[Sequence[Candidates]], columns: Sequence[int], direction: F64
) -> tuple[float, float]:
    """Return bias and scale such that 1 / (1 + exp(-(bias + scale * score))) is the probability of an answer."""
    candidates = [candidates for corpus in corpora for candidates in corpus]
    scores = np.concatenate([each.scores[:, columns] @ direction for each in candidates])
    answers = np.concatenate([each.answers for each in candidates])
    sizes = [sum(len(each.ids) for each in corpus) for corpus in corpora]
    weights = np.concatenate([np.full(size, 1 / size) for size in sizes])

    def loss(values: F64) -> float:
        logits = values[0] + values[1] * scores
        return float((weights * (np.logaddexp(0, logits) - answers * logits)).sum())

    bias, scale = minimize(loss, np.array([0.0, 1.0]), method="BFGS").x
    return float(bias), float(scale)


def _sort_ids(candidates: Candidates, values: F64) -> list[str]:
    return [candidates.ids[i] for i in np.argsort(-values, kind="stable")]


def _parse_rank(rank: int | None) -> float:
    return np.inf if rank is None or rank > DEPTH else float(rank)
