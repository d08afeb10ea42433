"""From the scores of a passage by meaning, by words and by tokens to one relevance."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from gateways.core.backend import F32


class Weights(NamedTuple):
    """A logistic regression: what it adds, and the weight of each score."""

    bias: float
    dense: float
    sparse: float
    late: float


# Chosen by `python -m bench fusion` on the datasets and with the quality that results/fusion/ tells.
WITH_WORDS = Weights(-11.0, 3.0, 2.0, 14.0)
WITHOUT_WORDS = Weights(-11.0, 4.0, 0.0, 16.0)
# The weight of common words at which they say half of what they ever could.
HALF_SPARSE = 10.0


def relevance(scores: Mapping[str, F32]) -> F32:
    """
    Return the relevance of n passages, 0 to 1, of their scores by `dense`, `late` and, where words count, `sparse`.

    A sparse score has no end; it is bent to s / (s + HALF_SPARSE), so that one rare word cannot outvote the others.
    """
    sparse = scores.get("sparse")
    weights = WITHOUT_WORDS if sparse is None else WITH_WORDS
    logits = weights.bias + weights.dense * scores["dense"] + weights.late * scores["late"]
    if sparse is not None:
        logits = logits + weights.sparse * sparse / (sparse + np.float32(HALF_SPARSE))
    values: F32 = (1 / (1 + np.exp(-logits))).astype(np.float32, copy=False)
    return values
