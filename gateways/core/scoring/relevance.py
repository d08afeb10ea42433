"""Relevance: the raw scores of a reranker scaled to 0 … 1."""

from __future__ import annotations

import numpy as np

from gateways.core.backend import F32, ModelInfo


def relevance(model: ModelInfo, values: F32) -> F32:
    """
    Return scores from 0 to 1, float32 (n,), in the order of `values`.

    The logit of a cross-encoder goes through a sigmoid, as in its training. The mean cosine of a late interaction is
    clipped at 0.
    """
    if model.scores == "cosines":
        return np.clip(values, 0, 1)
    scores: F32 = (1 / (1 + np.exp(-values))).astype(np.float32, copy=False)
    return scores
