"""Arithmetic on vectors: cosines within their bounds, and NaN that is not lost."""

from __future__ import annotations

import math

import numpy as np
import pytest

from gateways.core.scoring.late_interaction import maxsim
from gateways.core.scoring.vectors import clip_cosine, clip_cosines, nonzero


@pytest.mark.parametrize(
    ("cosine", "clipped"), [(1.000000238, 1.0), (0.9999998, 1.0), (0.99999, 0.99999), (-1.0000002, -1.0), (0.5, 0.5)]
)
def test_a_cosine_stays_within_its_bounds(cosine: float, clipped: float) -> None:
    """Two equal vectors have the cosine 1, whatever the arithmetic makes of it."""
    assert clip_cosine(cosine) == clipped
    assert clip_cosines(np.array([cosine], np.float32))[0] == np.float32(clipped)


def test_the_maxsim_of_a_text_with_itself_is_1() -> None:
    """For vectors of any length, whose rounding goes either way."""
    random = np.random.default_rng(3)
    for _ in range(50):
        tokens = random.normal(size=(7, 384)).astype(np.float32)

        assert maxsim(tokens, [tokens])[0] == 1.0


def test_a_weight_that_is_no_number_stays_in_a_sparse_vector() -> None:
    """A comparison with NaN is false: it would look like a zero."""
    sparse = nonzero(np.array([0.0, math.nan, -1.0, 2.0], np.float32))

    assert sparse.indices.tolist() == [1, 3]
    assert math.isnan(sparse.values[0])
