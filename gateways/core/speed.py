"""How fast a queue is worked off, and so how long what joins it waits."""

from __future__ import annotations

import math
import time


class Speed:
    """
    What is worked off in a second while there is something to do: tokens or characters, as its owner counts.

    Measured over at least `window_s`, of which each counts as much as all before it.
    """

    def __init__(self, window_s: float) -> None:
        self._window_s = window_s
        self.per_s = 0.0
        self.begin()

    def begin(self) -> None:
        """Say that there is something to do again: from now on time counts."""
        self._done, self._since_s = 0, time.perf_counter()

    def did(self, amount: int) -> None:
        """Say that so much was worked off."""
        self._done += amount
        busy_s = time.perf_counter() - self._since_s
        if busy_s < self._window_s and self.per_s:
            return
        speed = self._done / max(busy_s, 1e-6)
        self.per_s += (0.5 if self.per_s else 1.0) * (speed - self.per_s)
        self.begin()

    def within(self, seconds: float) -> float:
        """Return how much is worked off in so many seconds; no limit while nothing was."""
        return seconds * self.per_s if self.per_s else math.inf

    def seconds(self, amount: int) -> int:
        """Return after how many seconds, at least one, so much is worked off; 1 while nothing was."""
        return max(1, math.ceil(amount / self.per_s)) if self.per_s else 1
