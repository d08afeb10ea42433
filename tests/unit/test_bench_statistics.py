"""Percentiles, intervals and the words of a ratio."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.statistics import FLOORS, interval, paired_ratio, percentile, word


@pytest.mark.parametrize(("percent", "floor"), [(50, 10), (95, 130), (99, 662)])
def test_a_percentile_is_blank_below_its_floor_and_given_at_it(percent: int, floor: int) -> None:
    """p95 needs 130 samples and p99 662: one less is no answer, not a guess."""
    samples = np.arange(floor)

    assert percentile(samples[:-1], percent) is None
    assert percentile(samples, percent) is not None


def test_a_percentile_is_the_nearest_rank_and_never_interpolated() -> None:
    """Of 1,000 samples the 99th percentile is the 990th, which was really measured."""
    ordered = np.arange(1, 1001) * 1000

    assert [percentile(ordered, percent) for percent in (50, 95, 99)] == [500_000, 950_000, 990_000]


@given(st.lists(st.integers(0, 10**12), min_size=662, max_size=900))
def test_a_percentile_is_a_sample_that_enough_samples_do_not_exceed(samples: list[int]) -> None:
    """For any data: it is one of the samples, and at least that share of them is no larger."""
    ordered = np.sort(np.asarray(samples, dtype=np.int64))

    for percent in FLOORS:
        value = percentile(ordered, percent)

        assert value in samples
        assert (ordered <= value).mean() >= percent / 100


def test_one_or_two_replicates_have_no_interval() -> None:
    """An interval is given from three replicates on; it contains the median and stays within the data."""
    assert interval([100.0, 101.0]) is None

    low, high = interval([100.0, 104.0, 110.0]) or (0.0, 0.0)

    assert 100 <= low <= 104 <= high <= 110


def test_a_ratio_is_paired_by_block() -> None:
    """Blocks that are slow for both targets leave their ratio as it is."""
    ratio, bounds = paired_ratio([200.0, 100.0, 50.0], [100.0, 50.0, 25.0])

    assert ratio == 2
    assert bounds == (2, 2)


@pytest.mark.parametrize(
    ("ratio", "bounds", "noise", "expected"),
    [
        (1.04, None, 0.0, "inconclusive"),
        (1.30, None, 0.0, "faster"),
        (0.70, None, 0.0, "slower"),
        (1.30, (1.20, 1.40), 0.02, "faster"),
        (1.03, (1.01, 1.04), 0.02, "equivalent"),
        (1.03, (1.01, 1.09), 0.02, "inconclusive"),
        (0.80, (0.75, 0.85), 0.02, "slower"),
        (1.10, (1.05, 1.15), 0.08, "inconclusive"),
    ],
)
def test_faster_is_said_only_when_the_interval_clears_the_noise(
    ratio: float, bounds: tuple[float, float] | None, noise: float, expected: str
) -> None:
    """Faster clears the A/A band, equivalent stays within ±5 %, everything else is inconclusive."""
    assert word(ratio, bounds, noise) == expected
