"""The p99 of one window: LoadGen's bound, its interval, and the decision whether a limit is held."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from bench.simulate.queue import Server, open_loop
from bench.statistics import tail

TRIALS, CHUNK = 500, 50
WARM = 500
LOADS = ((0.5, 6_000), (0.7, 20_000))


def binomial_cdf(most: int, count: int, share: float) -> float:
    """Return P(Binomial(count, share) <= most) by exact sums."""
    return math.fsum(math.comb(count, k) * share**k * (1 - share) ** (count - k) for k in range(most + 1))


def sojourns(rng: np.random.Generator, trials: int, count: int, load: float) -> NDArray[np.float64]:
    """Return sojourn times of a queue with one server in means of its service, (trials, count), by Lindley."""
    gaps, services = rng.exponential(1 / load, (trials, count)), rng.exponential(1.0, (trials, count))
    steps = np.zeros((trials, count))
    steps[:, 1:] = services[:, :-1] - gaps[:, 1:]
    walk = np.cumsum(steps, axis=1)
    return np.asarray(walk - np.minimum.accumulate(walk, axis=1) + services)


@pytest.mark.parametrize("count", [458, 459, 662, 1_000, 2_500])
def test_the_samples_above_are_as_many_as_exact_sums_allow(count: int) -> None:
    """One more would be seen with over 1 % probability, even if the value were below the p99."""
    above = tail.samples_above(count)

    if above is None:
        assert binomial_cdf(0, count, 0.01) > 0.01
    else:
        assert binomial_cdf(above, count, 0.01) <= 0.01 < binomial_cdf(above + 1, count, 0.01)


def test_the_bound_is_that_of_loadgen() -> None:
    """Of 662 samples one may lie above; 661 are too few for LoadGen, and for the p99 here."""
    ordered = np.arange(662)

    assert tail.samples_above(662) == 1
    assert tail.bound(ordered) == 660
    assert tail.bound(ordered[:661]) is None


def test_the_simulated_queue_is_the_known_one() -> None:
    """`open_loop` with one request a pass gives the sojourn times of the recursion that the trials use."""
    rng = np.random.default_rng(3)
    arrivals_s, tokens = np.cumsum(rng.exponential(2.0, 300)), rng.integers(1, 5_000, 300)
    services = tokens * 1e-3
    expected, free_s = np.empty(300), 0.0
    for i in range(300):
        free_s = max(free_s, arrivals_s[i]) + services[i]
        expected[i] = free_s - arrivals_s[i]

    took_s = open_loop(Server(pass_s=0.0, token_s=1e-3, most_tokens=1), arrivals_s, tokens)

    assert took_s == pytest.approx(expected)


def test_the_known_p99_of_a_queue_is_within_its_interval() -> None:
    """Of 1,000 windows at 50 and 70 % load, at least 93 % cover ln(100) / (1 - load), the p99 of M/M/1."""
    rng, covered = np.random.default_rng(1), 0
    for load, count in LOADS:
        p99 = math.log(100) / (1 - load)
        for _ in range(TRIALS // CHUNK):
            for took in sojourns(rng, CHUNK, WARM + count, load)[:, WARM:]:
                low, high = tail.interval((took * 1e6).astype(np.int64)) or (math.inf, 0.0)
                covered += low <= p99 * 1e6 <= high

    assert covered >= 0.93 * len(LOADS) * TRIALS


def test_a_window_that_shows_too_little_of_its_tail_has_no_high_end() -> None:
    """One run of 10 slow answers among 1,000 is one event: nothing bounds the p99 from above."""
    latencies = np.ones(1_000, np.int64)
    latencies[500:510] = 1_000

    low, high = tail.interval(latencies) or (0.0, 0.0)

    assert (low, high) == (1.0, math.inf)


@pytest.mark.parametrize(
    ("late", "count", "decision"),
    [(0, 1_000, True), (0, 400, None), (10, 1_000, None), (60, 1_000, False), (1, 20, None), (0, 0, None)],
)
def test_a_limit_is_decided_when_chance_is_excluded(late: int, count: int, decision: bool | None) -> None:
    """Few late answers of many hold it, many break it, and what is near 1 % decides nothing."""
    over = np.zeros(count, bool)
    over[np.random.default_rng(2).permutation(count)[:late]] = True

    assert tail.decide(over) is decision


def test_late_answers_in_a_row_count_as_one_event() -> None:
    """A stall of 40 answers in 1,000 does not break a limit that 40 scattered ones break."""
    scattered, stalled = np.zeros(1_000, bool), np.zeros(1_000, bool)
    scattered[::25] = True
    stalled[500:540] = True

    assert tail.decide(scattered) is False
    assert tail.decide(stalled) is None
