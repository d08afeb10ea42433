"""Throughput of a queue, and the waiting time that follows from it."""

from __future__ import annotations

import math
import time


class Throughput:
    """
    The amount of work that a queue completes per second while it is busy, as an exponentially decaying mean.

    The amount is in tokens or in characters. A measurement loses half of its weight with each `half_life_s` of work
    that is measured after it. `per_s` is 0 until the first measurement.

    `record_pass` is for an owner that sees work start and end. `record_completion` is for an owner that sees only
    its end.
    """

    def __init__(self, half_life_s: float = 0.25) -> None:
        self._half_life_s = half_life_s
        self.reset()

    def reset(self) -> None:
        """Forget all measurements."""
        self.per_s = 0.0
        self.resume()

    def record_pass(self, amount: float, duration_s: float) -> None:
        """Add the measurement of work that took `duration_s`."""
        # The weight depends on the seconds alone: the mean is the same whether a pass is measured whole or in parts.
        weight = 1.0 - 0.5 ** (duration_s / self._half_life_s) if self.per_s else 1.0
        self.per_s += weight * (amount / duration_s - self.per_s)

    def resume(self) -> None:
        """Start measuring completions anew after the queue was idle, because idle time is not work."""
        self._completed = 0
        self._window_start_s: float | None = None

    def record_completion(self, amount: int) -> None:
        """
        Add work that is completed now.

        Work that shares a call completes in a burst. A measurement therefore lasts from the first completion of one
        burst to the first completion of another, at least `half_life_s` later, and leaves out the second burst.
        """
        now_s = time.perf_counter()
        if self._window_start_s is None:
            self._window_start_s = now_s
        elif now_s - self._window_start_s >= self._half_life_s:
            self.record_pass(self._completed, now_s - self._window_start_s)
            self._completed, self._window_start_s = 0, now_s
        self._completed += amount

    def amount_within(self, duration_s: float) -> float:
        """Return the amount that is completed within `duration_s`, infinity before the first measurement."""
        return duration_s * self.per_s if self.per_s else math.inf

    def seconds_for(self, amount: int) -> int:
        """Return the whole seconds, at least 1, until `amount` is completed; 1 before the first measurement."""
        return max(1, math.ceil(amount / self.per_s)) if self.per_s else 1
