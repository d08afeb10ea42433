"""The throughput of a queue: what counts as work, and how soon a change of speed shows."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.core.inference.throughput import Throughput
from tests.support.clock import Clock

RATES = st.floats(1, 1e6)


@given(RATES, RATES, st.floats(1e-4, 3), st.integers(2, 50))
def test_the_mean_does_not_depend_on_how_work_is_cut_into_passes(
    before: float, after: float, duration_s: float, parts: int
) -> None:
    """One long pass weighs as much as short passes of the same speed that last as long together."""
    whole, cut = Throughput(), Throughput()
    for throughput in (whole, cut):
        throughput.record_pass(before, 1.0)

    whole.record_pass(after * duration_s, duration_s)
    for _ in range(parts):
        cut.record_pass(after * duration_s / parts, duration_s / parts)

    assert whole.per_s == pytest.approx(cut.per_s, rel=1e-6)


@pytest.mark.parametrize("pass_s", [0.01, 0.05, 0.25])
def test_half_of_a_change_shows_after_the_half_life(pass_s: float) -> None:
    """However long the passes are, up to the half-life itself."""
    throughput = Throughput(half_life_s=0.25)
    throughput.record_pass(100, 1.0)

    for _ in range(round(0.25 / pass_s)):
        throughput.record_pass(200 * pass_s, pass_s)

    assert throughput.per_s == pytest.approx(150)


def test_passes_of_different_speed_count_by_their_duration() -> None:
    """Ten tokens in 10 ms and ten in 90 ms are 20 in 100 ms, not the mean of 1,000 and 111 per second."""
    throughput = Throughput()

    for _ in range(100):
        for pass_s in (0.01, 0.09):
            throughput.record_pass(10, pass_s)

    assert throughput.per_s == pytest.approx(200, rel=0.1)


def test_one_pass_is_enough_to_know() -> None:
    """Before it no amount takes too long, and waiting a second is worth a try."""
    throughput = Throughput()

    assert throughput.amount_within(0.001) == math.inf
    assert throughput.seconds_for(10**9) == 1
    throughput.record_pass(100, 0.5)
    assert throughput.amount_within(3) == pytest.approx(600)
    assert throughput.seconds_for(601) == 4
    assert (throughput.seconds_for(1), throughput.seconds_for(0)) == (1, 1)
    throughput.reset()
    assert throughput.amount_within(3) == math.inf


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


def complete(throughput: Throughput, clock: Clock, after_s: float, texts: int) -> None:
    """Complete `texts` of one character in a burst, `after_s` after the last one."""
    clock.now_s += after_s
    for _ in range(texts):
        throughput.record_completion(1)
        clock.now_s += 0.0001


def test_completions_of_one_burst_are_counted_together(clock: Clock) -> None:
    """64 requests that share a call are a throughput of 64 per call, however the measurements fall."""
    throughput = Throughput(half_life_s=0.05, clock=clock)

    for _ in range(20):
        complete(throughput, clock, 0.1, 64)
        assert throughput.per_s == 0 or throughput.per_s == pytest.approx(600, rel=0.1)
    assert throughput.per_s


def test_a_small_call_before_a_large_one_does_not_hide_it(clock: Clock) -> None:
    """64 clients that come back together make a call of one text and one of 63; then the queue is empty."""
    throughput = Throughput(half_life_s=0.25, clock=clock)

    for _ in range(10):
        throughput.resume()
        complete(throughput, clock, 0.02, 1)
        complete(throughput, clock, 0.38, 63)
        throughput.pause()

        assert throughput.per_s == pytest.approx(64 / 0.4, rel=0.1)


def test_calls_of_unequal_size_are_measured_without_bias(clock: Clock) -> None:
    """The mean of a busy queue is that of all its calls."""
    throughput = Throughput(half_life_s=1.0, clock=clock)

    for _ in range(100):
        complete(throughput, clock, 0.05, 2)
        complete(throughput, clock, 0.4, 62)

    assert throughput.per_s == pytest.approx(64 / 0.45, rel=0.15)


def test_completions_without_gaps_are_measured(clock: Clock) -> None:
    """A thousand single completions a second leave no gap that ends a burst."""
    throughput = Throughput(half_life_s=0.25, clock=clock)

    for _ in range(1_000):
        complete(throughput, clock, 0.0009, 1)

    assert throughput.per_s == pytest.approx(1_000, rel=0.05)


def test_idle_time_is_no_work(clock: Clock) -> None:
    """The throughput of a queue that was empty for a while is that of its busy times."""
    throughput = Throughput(half_life_s=0.02, clock=clock)

    for _ in range(3):
        throughput.resume()
        for _ in range(3):
            complete(throughput, clock, 0.03, 10)
        throughput.pause()
        assert throughput.per_s == pytest.approx(10 / 0.03, rel=0.1)
        clock.now_s += 5.0
