"""
The weights of `gateways/core/fusion.py`, fitted: how likely a passage answers, from its scores.

A logistic regression over the candidates of each question, every corpus with the same say. Each is also judged by the
weights that the *other* corpora give, which is what a corpus not seen here may expect.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import orjson
from numpy.typing import NDArray
from scipy.optimize import minimize

from bench import quality
from bench.api import Api
from bench.datasets import Question

F64 = NDArray[np.float64]
CANDIDATES = 30
HALF_SPARSE = 10.0  # as in fusion.py
COLUMNS = ("bias", "dense", "sparse", "late")


@dataclass(frozen=True)
class Candidates:
    """What one question retrieved, in that order: ids, features (n, 4) by COLUMNS, and which of them answer (n,)."""

    question: Question
    ids: list[str]
    features: F64
    answers: F64


def ask(api: Api, question: Question) -> Candidates:
    """Search once, hybrid and reranked, with everything explained."""
    body = {
        "query": question.text,
        "top_k": CANDIDATES,
        "mode": "hybrid",
        "rerank": "late-interaction",
        "explain": True,
    }
    results = orjson.loads(api.post("/v1/search", orjson.dumps(body)))["results"]
    results.sort(key=lambda result: result["explain"]["ranks"]["fused"])
    explained = [result["explain"] for result in results]
    dense = [its["dense"] for its in explained if its["dense"] is not None]
    # Beyond the ranking there is no score: at best that of its last.
    least = min(dense, default=0.0)
    features = [
        [1.0, least if its["dense"] is None else its["dense"], bent(its["sparse"] or 0.0), its["late"]]
        for its in explained
    ]
    ids = [result["id"] for result in results]
    answers = np.array([float(found in question.relevant) for found in ids])
    return Candidates(question, ids, np.array(features), answers)


def bent(sparse: float) -> float:
    """A sparse score on its way from 0 to 1."""
    return sparse / (sparse + HALF_SPARSE)


def fit(corpora: Sequence[Sequence[Candidates]], columns: Sequence[str] = COLUMNS) -> dict[str, float]:
    """The weights under which what answers is most likely, each corpus weighing as much as another."""
    chosen = [COLUMNS.index(column) for column in columns]
    features = np.concatenate([its.features for corpus in corpora for its in corpus])[:, chosen]
    answers = np.concatenate([its.answers for corpus in corpora for its in corpus])
    sizes = [sum(len(its.ids) for its in corpus) for corpus in corpora]
    weights = np.concatenate([np.full(size, 1 / size) for size in sizes])

    def loss(values: F64) -> float:
        logits = features @ values
        return float((weights * (np.logaddexp(0, logits) - answers * logits)).sum())

    def slope(values: F64) -> F64:
        return np.asarray(features.T @ (weights * (1 / (1 + np.exp(-(features @ values))) - answers)))

    found = minimize(loss, np.zeros(len(chosen)), jac=slope, method="BFGS").x
    return dict.fromkeys(COLUMNS, 0.0) | dict(zip(columns, map(float, found), strict=True))


def ndcg10(corpus: Sequence[Candidates], weights: Mapping[str, float]) -> float:
    """nDCG@10 of the candidates ordered by these weights."""
    values = np.array([weights[column] for column in COLUMNS])
    rankings = [[its.ids[i] for i in np.argsort(-(its.features @ values), kind="stable")] for its in corpus]
    return quality.measure(rankings, [its.question.relevant for its in corpus]).ndcg10


def retrieved(corpus: Sequence[Candidates]) -> float:
    """nDCG@10 of the candidates as they were retrieved: reciprocal rank fusion."""
    return quality.measure([its.ids for its in corpus], [its.question.relevant for its in corpus]).ndcg10
