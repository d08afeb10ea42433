"""The rule of drift: the farther look, the usual speed, and blocks that were at another speed as a whole."""

from __future__ import annotations

import pytest

from bench.records.drift import UsualSpeed, find_farther

WINDOWS = [((str(block), f"target {number}"), (0.0, 0.0)) for block in (1, 2, 3) for number in range(5)]


def test_the_look_that_is_farther_from_the_usual_speed_counts() -> None:
    """At a usual speed of -1.9 %, +2.9 % is 4.9 % off and -3.0 % is 1.1 % off."""
    usual = UsualSpeed(-0.019, {})

    assert find_farther((-0.030, 0.029), -0.019) == 0.029
    assert usual.drifted("1", (-0.030, 0.029))
    assert not usual.drifted("1", (-0.030, -0.030))


def test_a_cell_that_was_measured_again_has_one_vote() -> None:
    """Twenty repeats of one disturbed cell do not move the usual speed."""
    repeats = [(("3", "target 0"), (0.09, 0.09))] * 20

    assert UsualSpeed.of([*WINDOWS, *repeats]).campaign == 0


def test_a_block_that_was_slow_as_a_whole_is_kept_and_called_slow() -> None:
    """Its windows are held to its own speed; one slow window of another block is refused."""
    slow = [((block, name), (0.08, 0.08) if block == "3" else looks) for (block, name), looks in WINDOWS]
    usual = UsualSpeed.of(slow)

    assert usual.campaign == 0
    assert not usual.drifted("3", (0.08, 0.09))
    assert usual.drifted("3", (0.0, 0.0))
    assert usual.drifted("1", (0.08, 0.08))
    assert [usual.state(looks) for looks in ((0.08, 0.0), (0.0, 0.0), (-0.08, 0.0))] == ["slow", "usual", "fast"]


def test_without_windows_nothing_has_drifted() -> None:
    """A campaign whose first window is measured has the speed of its start."""
    assert UsualSpeed.of([]).campaign == pytest.approx(0.0)
