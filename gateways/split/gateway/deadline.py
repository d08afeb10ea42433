"""The deadline of a call: one budget of time for the call and all its retries."""

from __future__ import annotations

import time
from collections.abc import Callable


class Deadline:
    """The moment `timeout_s` after the start of a call."""

    def __init__(self, timeout_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self.timeout_s = timeout_s
        self._clock = clock
        self._end_s = clock() + timeout_s

    def remaining_s(self) -> float:
        """Return the seconds until the deadline, 0 after it."""
        return max(0.0, self._end_s - self._clock())
