"""How fast a queue is worked off, and so how long what joins it waits."""

from __future__ import annotations

import math
import time


class Speed:
    """
    What is worked off in a second while there is something to do: tokens or characters, as its owner counts.

    Measured over at least `window_s`, of which each counts as much as all before it. Much may be done at one moment,
    with the pass or the call that it shared: so a window goes from one such moment to another, and has what was done
    from the first one on, without the last.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self.per_s = 0.0
        self.begin()

    def begin(self) -> None:
        """Say that there is something to do again: what passed until now was no work."""
        self._done = 0
        self._since_s: float | None = None

    def did(self, amount: int) -> None:
        """Say that so much was worked off."""
        now_s = time.perf_counter()
        if self._since_s is None:
            self._since_s = now_s
        elif now_s - self._since_s >= self._window_s:
            speed = self._done / (now_s - self._since_s)
            self.per_s += (0.5 if self.per_s else 1.0) * (speed - self.per_s)
            self._done, self._since_s = 0, now_s
        self._done += amount

    def within(self, seconds: float) -> float:
        """Return how much is worked off in so many seconds; no limit while nothing is known."""
        return seconds * self.per_s if self.per_s else math.inf

    def seconds(self, amount: int) -> int:
        """Return after how many seconds, at least one, so much is worked off; 1 while nothing is known."""
        return max(1, math.ceil(amount / self.per_s)) if self.per_s else 1
