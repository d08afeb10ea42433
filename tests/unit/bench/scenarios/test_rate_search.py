"""The search for the rate that is held: bisection, its ends, and later blocks."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.scenarios.rate_search import Bracket, RateSearch, Window, bracket

FLOOR, CEILING, RESOLUTION = 10.0, 110.0, 1.15


def search(capacity: float, earlier: Bracket | None = None) -> list[Window]:
    """Return the windows of a search against a server that holds every rate up to `capacity`."""
    plan = RateSearch(FLOOR, CEILING, RESOLUTION, earlier or Bracket(None, None))
    windows: list[Window] = []
    while (rate := plan.next_rate(windows)) is not None:
        windows.append(Window(rate, rate <= capacity))
        assert len(windows) < 20
    return windows


@given(capacity=st.floats(12, 100))
def test_the_capacity_is_bracketed(capacity: float) -> None:
    """The bracket holds the capacity, is narrow, and takes few windows."""
    windows = search(capacity)
    low, high = bracket(windows)

    assert len(windows) <= 8
    assert low is not None
    assert low <= capacity
    assert CEILING / low <= RESOLUTION if high is None else capacity < high <= RESOLUTION * low


@given(capacity=st.floats(12, 100), drift=st.floats(0.9, 1.1))
def test_a_later_block_begins_at_the_bracket_of_the_first(capacity: float, drift: float) -> None:
    """It begins in the bracket; if the server is as fast as before, few windows are enough and make it narrower."""
    first = search(capacity)
    low, high = bracket(first)
    again, changed = search(capacity, bracket(first)), search(capacity * drift, bracket(first))

    assert low is not None
    assert low <= again[0].rps <= (high or low)
    assert len(again) <= 3
    assert (bracket([*first, *again]).low or 0.0) >= low
    assert bracket(changed).low is not None


def test_nothing_is_offered_below_the_floor_or_above_the_ceiling() -> None:
    """A server that holds nothing is offered the floor last; one that holds all nearly the ceiling."""
    nothing, everything = search(1.0), search(1e9)

    assert (nothing[-1].rps, bracket(nothing).low) == (FLOOR, None)
    assert max(window.rps for window in everything) <= CEILING
    assert bracket(everything).high is None
    assert search(1.0, Bracket(50.0, 55.0))[-1].rps == FLOOR


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        ([(50, True), (60, False), (55, True)], (55, 60)),
        ([(50, True), (60, False), (70, True)], (50, 60)),  # a rate held above one that failed proves nothing
        ([(50, True), (50, False)], (None, 50)),
        ([(50, True)], (50, None)),
    ],
)
def test_every_window_counts(windows: list[tuple[float, bool]], expected: tuple[float | None, float | None]) -> None:
    """The bracket lies below every window that failed."""
    assert bracket([Window(*window) for window in windows]) == expected
