"""Fusion: several scores of a passage become one, by fitted weights or by reciprocal rank."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from gateways.core.backend import F32

# How a collection fuses: reciprocal ranks, the weights fitted for its dense model, or weights of its own.
FUSIONS: TypeAlias = Literal["rrf", "scores"]
Fusion: TypeAlias = "FUSIONS | Weights"

# A rank counts 1 / (RRF_K + rank), ranks from 1. `python -m bench fusion` chose this constant and the weights below;
# results/studies/*/*-fusion/ has the nDCG@10 of each choice on each corpus.
RRF_K = 1


@dataclass(frozen=True, slots=True)
class Weights:
    """A logistic regression: a bias, and weights of the dense cosine, the BM25 score and the late mean cosine."""

    bias: float = 0.0
    dense: float = 0.0
    sparse: float = 0.0
    late: float = 0.0


# By dense model, because each has a scale of cosines of its own, and by the kinds of scores.
FITTED: Mapping[str, Mapping[frozenset[str], Weights]] = {
    "all-MiniLM-L6-v2": {
        frozenset({"dense", "sparse"}): Weights(-7.61, 7.56, 0.0946),
        frozenset({"dense", "late"}): Weights(-10.4, 3.2, 0.0, 12.8),
        frozenset({"dense", "sparse", "late"}): Weights(-9.78, 3.77, 0.0548, 9.06),
    }
}


def weights(fusion: Fusion | None, dense_model: str, kinds: frozenset[str]) -> Weights | None:
    """Return the weights for `kinds` of scores; None to fuse by rank, or if no weights were fitted for the model."""
    if isinstance(fusion, Weights):
        return fusion
    return None if fusion == "rrf" else FITTED.get(dense_model, {}).get(kinds)


def fuse(scores: Mapping[str, F32], weights: Weights | None) -> F32:
    """
    Fuse the scores of n passages, (n,) for each kind, into one score each: float32 (n,), from 0 to 1.

    With weights the result is the probability that a passage answers. Without, it is the mean over the kinds of
    (RRF_K + 1) / (RRF_K + rank). That is reciprocal rank fusion (Cormack et al. 2009), scaled so that a passage
    which is first in every ranking has 1.
    """
    if weights is None:
        means: F32 = np.mean([_reciprocal_ranks(values) for values in scores.values()], axis=0)
        return means
    logits = weights.bias + np.sum([getattr(weights, kind) * values for kind, values in scores.items()], axis=0)
    relevance: F32 = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return relevance


def _reciprocal_ranks(values: F32) -> F32:
    """Return (RRF_K + 1) / (RRF_K + rank) for each of n scores; equal scores are ranked in their given order."""
    ranks = np.empty(len(values), np.float32)
    ranks[np.argsort(-values, kind="stable")] = np.arange(1, len(values) + 1)
    return ((RRF_K + 1) / (RRF_K + ranks)).astype(np.float32)
