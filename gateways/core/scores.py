"""From a reranker's raw scores to relevance."""

from __future__ import annotations

import numpy as np

from gateways.core.backend import F32, ModelInfo


def relevance(model: ModelInfo, values: F32) -> F32:
    """
    Return scores from 0 to 1, float32 (n,), in the order of `values`.

    A cross-encoder's logit goes through the sigmoid it was trained with; a late interaction's mean cosine is one
    already, and below 0 is as good as 0.
    """
    if model.scores == "cosines":
        return np.clip(values, 0, 1)
    scores: F32 = (1 / (1 + np.exp(-values))).astype(np.float32, copy=False)
    return scores
