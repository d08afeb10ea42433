"""The search for the highest rate that holds a limit: which rate to offer next, from the windows so far."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

STEP = 1.1  # from one rate to the next, beyond the bracket of an earlier block


class Window(NamedTuple):
    """A window at an offered rate, and whether the limit was held in it."""

    rps: float
    held: bool


class Bracket(NamedTuple):
    """The highest rate held below every rate that failed, and the lowest that failed above it; None where unknown."""

    low: float | None
    high: float | None


UNKNOWN = Bracket(None, None)
NEAR = 0.03  # offered rates stray from the planned ones


@dataclass(frozen=True)
class RateSearch:
    """
    Bisection between `floor` and `ceiling`, until the bracket is narrower than `resolution`, a ratio above 1.

    With the bracket of an earlier block, the search begins in its middle and tries the end that confirms it, so that
    blocks together are finer than one of them. It leaves the bracket in steps of 10 %.
    """

    floor: float
    ceiling: float
    resolution: float
    earlier: Bracket = UNKNOWN

    def next_rate(self, windows: Sequence[Window]) -> float | None:
        """Return the rate to offer next; None when the search is over."""
        if not windows:
            return self._begin()
        low, high = bracket(windows)
        if low is None:
            return self._descend(min(window.rps for window in windows))
        if high is None:
            return self._climb(low)
        return None if high <= self.resolution * low else (low + high) / 2

    def _begin(self) -> float:
        low, high = self.earlier
        if low is None:
            return (self.floor + (high or self.ceiling)) / 2
        return low if high is None else (low + high) / 2

    def _descend(self, failed: float) -> float | None:
        """Return a rate below one that failed, not below the floor; None if the floor itself failed."""
        if failed <= self.floor * (1 + NEAR):
            return None
        lower = (self.floor + failed) / 2
        if self.earlier.low:
            lower = min(self.earlier.low, failed / STEP)
        return self.floor if lower < self.floor * self.resolution else lower

    def _climb(self, held: float) -> float | None:
        """Return a rate above one that was held, not above the ceiling; None near the ceiling."""
        if held * self.resolution >= self.ceiling:
            return None
        if self.earlier.low:
            high = self.earlier.high or 0.0
            return min(self.ceiling, high if high > held * (1 + NEAR) else held * STEP)
        return (held + self.ceiling) / 2


def bracket(windows: Sequence[Window]) -> Bracket:
    """Return the bracket of windows of one block or of several; every window counts."""
    lowest_failed = min((window.rps for window in windows if not window.held), default=None)
    held = [window.rps for window in windows if window.held and (lowest_failed is None or window.rps < lowest_failed)]
    low = max(held, default=None)
    return Bracket(low, lowest_failed)
