"""Percentiles, hierarchical intervals, the A/A band and the verdicts on ratios."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from numpy.typing import NDArray

from bench.statistics import (
    interval,
    paired_ratio,
    percentile,
    reach,
    spread,
    unpaired_ratio,
    widen,
    word,
)

SIMULATED = 300


@pytest.mark.parametrize(("percent", "floor"), [(50, 10), (95, 130), (99, 662), (99.9, 6636)])
def test_a_percentile_is_blank_below_its_floor_and_given_at_it(percent: float, floor: int) -> None:
    """p95 needs 130 samples, p99 662 and p99.9 6,636; one less gives None."""
    samples = np.arange(floor)

    assert percentile(samples[:-1], percent) is None
    assert percentile(samples, percent) is not None


def test_a_percentile_is_the_nearest_rank_and_never_interpolated() -> None:
    """The 99th percentile of 1,000 samples is the 990th sample."""
    ordered = np.arange(1, 1001) * 1000

    assert [percentile(ordered, percent) for percent in (50, 95, 99)] == [500_000, 950_000, 990_000]


@given(arrays(np.int64, st.integers(662, 900), elements=st.integers(0, 10**12)))
def test_a_percentile_is_a_sample_that_enough_samples_do_not_exceed(samples: NDArray[np.int64]) -> None:
    """For any data, it is a sample, and at least that share of samples is not larger."""
    ordered = np.sort(samples)

    for percent in (50, 95, 99):
        value = percentile(ordered, percent)

        assert value is not None
        assert value in samples
        assert (ordered <= value).mean() >= percent / 100
    assert percentile(ordered, 99.9) is None


def drawn(rng: np.random.Generator, blocks: int, replicates: int, between: float, within: float) -> list[list[float]]:
    """Return log-normal blocks around 1, each with log-normal replicates."""
    effects = rng.normal(0, between, (blocks, 1))
    values: NDArray[np.float64] = np.exp(effects + rng.normal(0, within, (blocks, replicates)))
    return [list(row) for row in values]


@pytest.mark.parametrize(("between", "within"), [(0.05, 0.02), (0.02, 0.10)])
@pytest.mark.parametrize("replicates", [1, 4])
@pytest.mark.parametrize("blocks", [3, 4, 5, 7, 10])
def test_intervals_cover_the_truth_as_often_as_they_say(
    blocks: int, replicates: int, between: float, within: float
) -> None:
    """A nominal 95 % interval covers the truth in 90 to 99 % of simulations, for cells and paired ratios."""
    rng = np.random.default_rng(blocks)
    of_cell = of_ratio = 0

    for _ in range(SIMULATED):
        sample = drawn(rng, blocks, replicates, between, within)
        other = [[3 * value for value in block] for block in drawn(rng, blocks, replicates, 0.0, within)]
        low, high = interval(sample) or (2.0, 0.0)
        of_cell += low <= 1 <= high
        low, high = paired_ratio(sample, other)[1] or (2.0, 0.0)
        of_ratio += low <= 1 / 3 <= high

    assert 0.90 <= of_cell / SIMULATED <= 0.99
    assert 0.90 <= of_ratio / SIMULATED <= 0.99


def test_a_percentile_interval_of_three_blocks_would_not_do() -> None:
    """The range of three blocks covers the truth in 75 % of cases, so the interval is wider."""
    rng = np.random.default_rng(1)
    straddled = np.mean([np.ptp(np.sign(rng.normal(0, 1, 3))) > 0 for _ in range(4000)])
    low, high = interval([100.0, 104.0, 110.0]) or (0.0, 0.0)

    assert straddled == pytest.approx(0.75, abs=0.03)
    assert low < 100
    assert high > 110


def test_one_or_two_blocks_have_no_interval() -> None:
    """Three blocks have an interval; one block uses its replicates; zero has no logarithm."""
    assert interval([100.0, 101.0]) is None
    assert interval([[100.0, 101.0, 102.0], [99.0, 100.0, 101.0]]) is None
    assert interval([100.0, 0.0, 102.0]) is None
    assert interval([]) is None
    assert interval([[100.0, 101.0, 103.0]]) == interval([100.0, 101.0, 103.0])


@given(st.lists(st.floats(0.1, 1e6), min_size=3, max_size=6))
def test_up_to_six_blocks_the_interval_holds_the_median(values: list[float]) -> None:
    """The median lies within the interval of the geometric mean."""
    low, high = interval(values) or (0.0, 0.0)
    middle = np.exp(np.median(np.log(values)))

    assert low <= middle * 1.0001
    assert high >= middle / 1.0001


def test_a_ratio_is_paired_by_block() -> None:
    """Blocks that are slow for both targets do not change the paired ratio; unpaired data decide nothing."""
    ratio, bounds = paired_ratio([200.0, 100.0, 50.0], [100.0, 50.0, 25.0])
    loose, wide = unpaired_ratio([200.0, 100.0, 50.0], [100.0, 50.0, 25.0])

    assert [ratio, loose] == pytest.approx([2, 2])
    assert bounds == pytest.approx((2, 2))
    assert wide is not None
    assert wide[0] < 1 < 4 < wide[1]


def test_a_ratio_is_the_geometric_mean_and_turns_over_with_its_interval() -> None:
    """Twice and half as fast cancel, and B / A is the inverse of A / B."""
    ratio, bounds = paired_ratio([2.0, 1.0, 1.2], [1.0, 2.0, 1.0])
    inverse, turned = paired_ratio([1.0, 2.0, 1.0], [2.0, 1.0, 1.2])

    assert ratio == pytest.approx(1.2 ** (1 / 3))
    assert inverse == pytest.approx(1 / ratio)
    assert bounds is not None
    assert turned == pytest.approx((1 / bounds[1], 1 / bounds[0]))


def test_pairs_need_two_of_each() -> None:
    """Sequences of different lengths raise an error with both lengths."""
    with pytest.raises(ValueError, match="not 2 and 3"):
        paired_ratio([1.0, 2.0], [1.0, 2.0, 3.0])


def test_the_spread_is_that_of_the_blocks() -> None:
    """The coefficient of variation is over blocks; for one block over replicates; for one number None."""
    assert spread([90.0, 100.0, 110.0]) == pytest.approx(0.1)
    assert spread([[90.0, 100.0, 110.0]]) == pytest.approx(0.1)
    assert spread([100.0]) is None


def test_the_band_pools_the_cells_and_narrows_with_blocks() -> None:
    """More cells and blocks narrow the band, but not for a twin that is always slower."""
    rng = np.random.default_rng(3)
    noisy: Sequence[Sequence[float]] = np.exp(rng.normal(0, 0.02, (40, 5))).tolist()
    biased: Sequence[Sequence[float]] = np.exp(rng.normal(-0.06, 0.001, (8, 5))).tolist()

    few, many, offset = reach(noisy, 5), reach(noisy, 20), reach(biased, 20)

    assert few is not None
    assert many is not None
    assert offset is not None
    assert few == pytest.approx(1.97 * 0.02 / 5**0.5, rel=0.25)
    assert many < few
    assert offset > 0.055
    assert reach([], 5) is None
    assert reach([[0.9], [1.05]], 1) == pytest.approx(1 / 0.9 - 1)


@pytest.mark.parametrize(
    ("ratio", "bounds", "twin", "expected"),
    [
        (1.04, None, True, "inconclusive"),
        (1.30, None, True, "inconclusive"),
        (1.30, (1.20, 1.40), True, "faster"),
        (1.03, (1.01, 1.04), True, "equivalent"),
        (1.03, (0.99, 1.09), True, "inconclusive"),
        (0.80, (0.75, 0.85), True, "slower"),
        (1.10, (1.04, 1.15), False, "inconclusive"),
        (1.10, (1.06, 1.15), False, "faster"),
    ],
)
def test_faster_is_said_only_when_the_interval_excludes_one(
    ratio: float, bounds: tuple[float, float] | None, twin: bool, expected: str
) -> None:
    """Faster excludes 1 with the A/A band inside, or ±5 % without a twin; equivalent lies within ±5 %."""
    assert word(ratio, bounds, twin=twin) == expected


def test_less_time_is_faster() -> None:
    """For times and costs, less is better; equivalent is symmetric."""
    assert word(0.8, (0.75, 0.85), twin=True, lower_is_better=True) == "faster"
    assert word(1.3, (1.2, 1.4), twin=True, lower_is_better=True) == "slower"
    assert word(1.01, (0.99, 1.03), twin=True, lower_is_better=True) == "equivalent"


def test_an_interval_is_never_narrower_than_the_noise_of_a_target_against_itself() -> None:
    """Blocks that agree by luck get the width of the A/A band; a wide interval hardly grows."""
    lucky, wide = widen(1.0, (1.0, 1.0), 0.21), widen(2.0, (1.0, 4.0), 0.05)

    assert lucky == pytest.approx((1 / 1.21, 1.21))
    assert wide == pytest.approx((1.0, 4.0), rel=0.01)
    assert widen(1.1, (1.0, 1.2), None) == (1.0, 1.2)
    assert widen(1.1, None, 0.1) is None
    assert word(1.0, lucky, twin=True) == "inconclusive"
