"""The turns of collections, with a clock of the test's own."""

from __future__ import annotations

import pytest

from gateways.core.ingest.turns import FIRST_WAIT_S, MAX_WAIT_S, Turns
from tests.support.clock import Clock


def longest(least_s: float, most_s: float) -> float:
    """Return the longest wait that jitter may choose."""
    assert least_s == most_s / 2
    return most_s


@pytest.fixture
def clock() -> Clock:
    """Return a clock that stands still."""
    return Clock()


def test_the_last_one_served_is_at_the_end(clock: Clock) -> None:
    """Until the queue is empty."""
    turns = Turns(clock)
    for name in ("books", "films", "books"):
        turns.serve(name)

    assert turns.served == ["films", "books"]
    turns.forget()
    assert turns.served == []


def test_a_pause_doubles_with_each_error_up_to_a_limit(clock: Clock) -> None:
    """Its length is 0.25 s after the first error and 30 s after many."""
    turns = Turns(clock, longest)
    assert (turns.paused, turns.wait_s) == ([], None)

    for number in range(12):
        assert turns.pause("books") == number + 1
        wait_s = min(FIRST_WAIT_S * 2**number, MAX_WAIT_S)
        assert turns.wait_s == pytest.approx(wait_s)
        clock.now_s += wait_s * 0.99
        assert turns.paused == ["books"]
        clock.now_s += wait_s * 0.02
        assert (turns.paused, turns.wait_s) == ([], 0.0)


def test_progress_forgets_the_errors(clock: Clock) -> None:
    """The next error is the first again. Other collections keep theirs."""
    turns = Turns(clock, longest)
    turns.pause("books")
    turns.pause("films")
    turns.pause("films")

    assert turns.resume("films") is True
    assert turns.resume("films") is False
    assert turns.paused == ["books"]
    assert turns.pause("films") == 1


def test_the_first_pause_to_end_decides_how_long_to_wait(clock: Clock) -> None:
    """One that has ended already and was not tried yet is due at once."""
    turns = Turns(clock, longest)
    for _ in range(3):
        turns.pause("books")
    turns.pause("films")

    assert turns.wait_s == pytest.approx(FIRST_WAIT_S)
    clock.now_s += 10.0
    assert turns.wait_s == 0.0


def test_jitter_keeps_workers_apart(clock: Clock) -> None:
    """Two workers that fail at once do not come back at once."""
    waits = set()
    for turns in [Turns(clock) for _ in range(20)]:
        turns.pause("books")
        waits.add(turns.wait_s)

    assert len(waits) > 10
