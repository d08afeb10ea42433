"""From what each vector says of a passage to one score: by weights where they are known, else by ranks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from gateways.core.backend import F32

# How a collection fuses: by reciprocal ranks, by the weights fitted for its dense model, or by weights of its own.
FUSIONS: TypeAlias = Literal["rrf", "scores"]
Fusion: TypeAlias = "FUSIONS | Weights"

# A rank counts 1 / (RRF_K + rank), ranks from 1. This and the weights below are what `python -m bench fusion` chose;
# results/*/*-fusion/ has what each choice was worth on which corpus.
RRF_K = 1


@dataclass(frozen=True, slots=True)
class Weights:
    """A logistic regression: what it adds, and the weight of a cosine, a weight of words and a mean of cosines."""

    bias: float = 0.0
    dense: float = 0.0
    sparse: float = 0.0
    late: float = 0.0


# By dense model, whose cosines have a scale of their own, and by the scores that there are.
FITTED: Mapping[str, Mapping[frozenset[str], Weights]] = {
    "all-MiniLM-L6-v2": {
        frozenset({"dense", "sparse"}): Weights(-7.61, 7.56, 0.0946),
        frozenset({"dense", "late"}): Weights(-10.4, 3.2, 0.0, 12.8),
        frozenset({"dense", "sparse", "late"}): Weights(-9.78, 3.77, 0.0548, 9.06),
    }
}


def weights(fusion: Fusion | None, dense_model: str, kinds: frozenset[str]) -> Weights | None:
    """Return the weights of these kinds of scores; None where ranks are to be fused, or no weights are known."""
    if isinstance(fusion, Weights):
        return fusion
    return None if fusion == "rrf" else FITTED.get(dense_model, {}).get(kinds)


def fuse(scores: Mapping[str, F32], by: Weights | None) -> F32:
    """
    Return one score for each of n passages, float32 (n,) from 0 to 1, of their scores of each kind, (n,) each.

    By weights it is the relevance: how likely a passage answers. By ranks it is the mean over the kinds of
    (RRF_K + 1) / (RRF_K + rank), reciprocal rank fusion (Cormack et al. 2009) scaled so that 1 is first in all of
    them: it needs no scale and tells none.
    """
    if by is None:
        ranked: F32 = np.mean([_reciprocal_ranks(values) for values in scores.values()], axis=0)
        return ranked
    logits = by.bias + np.sum([getattr(by, kind) * values for kind, values in scores.items()], axis=0)
    relevance: F32 = (1 / (1 + np.exp(-logits))).astype(np.float32)
    return relevance


def _reciprocal_ranks(values: F32) -> F32:
    """Equal scores keep the order in which they came."""
    ranks = np.empty(len(values), np.float32)
    ranks[np.argsort(-values, kind="stable")] = np.arange(1, len(values) + 1)
    return ((RRF_K + 1) / (RRF_K + ranks)).astype(np.float32)
