"""Arrival schedules: ascending, with the requested number and rate, and the same for the same seed."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from bench.driver.arrivals import Burst, kinds, poisson, poisson_within

RATES = st.floats(0.5, 5000)
SEEDS = st.integers(0, 2**32 - 1)


@given(rate_rps=RATES, count=st.integers(1, 500), seed=SEEDS)
def test_as_many_arrivals_as_asked_for_come_in_order(rate_rps: float, count: int, seed: int) -> None:
    """`poisson` returns `count` ascending times above 0, and the same ones for the same seed."""
    times = poisson(rate_rps, count, seed)

    assert times.shape == (count,)
    assert times[0] > 0
    assert (np.diff(times) >= 0).all()
    assert np.array_equal(times, poisson(rate_rps, count, seed))


@given(rate_rps=RATES, count=st.integers(1, 500), seed=SEEDS)
def test_the_offered_rate_is_the_rate_asked_for(rate_rps: float, count: int, seed: int) -> None:
    """The last arrival is at the nominal length of the schedule, for every seed."""
    times = poisson(rate_rps, count, seed)

    assert count / float(times[-1]) == pytest.approx(rate_rps)


@given(rate_rps=RATES, factor=st.floats(0.1, 10), seed=SEEDS)
def test_two_rates_share_their_luck(rate_rps: float, factor: float, seed: int) -> None:
    """With one seed, two rates give the same arrivals on two time scales."""
    assert np.allclose(poisson(rate_rps * factor, 100, seed) * factor, poisson(rate_rps, 100, seed))


@pytest.mark.parametrize("rate_rps", [3.0, 250.0])
def test_gaps_are_exponential_and_independent(rate_rps: float) -> None:
    """A Kolmogorov-Smirnov test accepts exponential gaps of mean 1 / rate, and neighbours do not correlate."""
    gaps = np.diff(poisson(rate_rps, 20_000, seed=7), prepend=0.0)

    assert stats.kstest(gaps * rate_rps, "expon").pvalue > 0.01
    assert abs(np.corrcoef(gaps[:-1], gaps[1:])[0, 1]) < 0.02


@given(rate_rps=st.floats(0.5, 500), seconds=st.floats(0.1, 5), seed=SEEDS)
def test_arrivals_within_a_time_stay_within_it(rate_rps: float, seconds: float, seed: int) -> None:
    """`poisson_within` returns ascending times in [0, seconds)."""
    times = poisson_within(rate_rps, seconds, seed)

    assert (np.diff(times) >= 0).all()
    assert ((times >= 0) & (times < seconds)).all()


def test_the_number_within_a_time_is_poisson_distributed() -> None:
    """Over many seeds, mean and variance of the number are rate times seconds."""
    numbers = np.array([len(poisson_within(50.0, 2.0, seed)) for seed in range(2000)])

    assert numbers.mean() == pytest.approx(100, rel=0.02)
    assert numbers.var() == pytest.approx(100, rel=0.15)


@given(size=st.integers(1, 400), rate_rps=st.floats(1, 400), seed=SEEDS)
def test_a_burst_lies_between_two_steady_loads(size: int, rate_rps: float, seed: int) -> None:
    """All times ascend; the burst has exactly its size, evenly spaced from its start."""
    burst = Burst(rate_rps, before_s=1.0, size=size, burst_s=0.25, after_s=2.0)

    times = burst.schedule_s(seed)

    inside = times[(times >= 1.0) & (times < 1.25)]
    assert (np.diff(times) >= 0).all()
    assert times[-1] < 3.25
    assert inside[0] == 1.0
    assert np.allclose(np.diff(inside[:size]), 0.25 / size)
    assert len(inside) == size


@given(count=st.integers(1, 300), seed=SEEDS)
def test_kinds_name_one_share_each(count: int, seed: int) -> None:
    """Every kind is an index of a share above 0, and is fixed by the seed."""
    drawn = kinds(count, (0.5, 0.0, 0.5), seed)

    assert drawn.shape == (count,)
    assert set(drawn.tolist()) <= {0, 2}
    assert np.array_equal(drawn, kinds(count, (0.5, 0.0, 0.5), seed))


def test_kinds_come_by_their_shares() -> None:
    """Over many arrivals each kind has its share."""
    drawn = kinds(50_000, (0.80, 0.15, 0.05), seed=3)

    assert np.bincount(drawn) / len(drawn) == pytest.approx([0.80, 0.15, 0.05], abs=0.01)
