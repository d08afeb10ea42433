"""From several scores to one: by weights, by ranks, and which of the two."""

from __future__ import annotations

import numpy as np
import pytest

from gateways.core.scoring.fusion import FITTED, RRF_K, Weights, fuse, weights

SCORES = {
    "dense": np.array([0.9, 0.1, 0.5], np.float32),
    "sparse": np.array([0.0, 7.0, 7.0], np.float32),
    "late": np.array([0.6, 0.7, 0.2], np.float32),
}
[MODEL] = FITTED


def test_weights_make_a_probability() -> None:
    """The logistic function of bias and weighed scores; a kind without a weight says nothing."""
    relevances = fuse(SCORES, Weights(-1.0, dense=2.0, sparse=0.5))

    assert relevances.dtype == np.float32
    assert relevances == pytest.approx(
        [1 / (1 + np.exp(-x)) for x in (-1 + 1.8, -1 + 0.2 + 3.5, -1 + 1 + 3.5)], rel=1e-6
    )


def test_without_weights_ranks_are_fused() -> None:
    """The mean of (RRF_K + 1) / (RRF_K + rank); of equal scores the first comes first."""
    ranks = {"dense": (1, 3, 2), "sparse": (3, 1, 2), "late": (2, 1, 3)}

    relevances = fuse(SCORES, None)

    assert relevances.dtype == np.float32
    expected = [sum((RRF_K + 1) / (RRF_K + ranks[kind][n]) for kind in ranks) / 3 for n in range(3)]
    assert relevances == pytest.approx(expected, rel=1e-6)


def test_weights_are_those_of_the_model_and_of_the_scores_there_are() -> None:
    """Fitted ones by default, the collection's own before them, none where ranks are wanted or nothing was fitted."""
    both, own = frozenset({"dense", "sparse"}), Weights(0, 1, 1, 1)

    assert weights(None, MODEL, both) == weights("scores", MODEL, both) == FITTED[MODEL][both]
    assert weights(own, MODEL, both) == weights(own, "another", both) == own
    assert weights("rrf", MODEL, both) is None
    assert weights(None, "another", both) is None
    assert weights(None, MODEL, frozenset({"sparse"})) is None


@pytest.mark.parametrize("kinds", FITTED[MODEL], ids="+".join)
def test_a_better_score_is_never_a_lower_relevance(kinds: frozenset[str]) -> None:
    """Every kind that counts has a weight above zero, every other none."""
    model_weights = FITTED[MODEL][kinds]

    assert {kind for kind in SCORES if getattr(model_weights, kind) > 0} == kinds
    assert model_weights.bias < 0
