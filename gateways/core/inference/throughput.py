"""Throughput of a queue, and the waiting time that follows from it."""

from __future__ import annotations

import math
import time
from collections.abc import Callable

# Completions closer together than this belong to one burst.
BURST_GAP_S = 0.005


class Throughput:
    """
    The amount of work that a queue completes per second while it is busy, as an exponentially decaying mean.

    The amount is in tokens or in characters. A measurement loses half of its weight with each `half_life_s` of work
    that is measured after it. `per_s` is 0 until the first measurement.

    `record_pass` is for an owner that sees work start and end. `resume`, `record_completion` and `pause` are for an
    owner that sees only its end.
    """

    def __init__(self, half_life_s: float = 0.25, clock: Callable[[], float] = time.perf_counter) -> None:
        """`clock` returns seconds."""
        self._half_life_s = half_life_s
        self._clock = clock
        self.reset()

    def reset(self) -> None:
        """Forget all measurements. The queue is busy from now on."""
        self.per_s = 0.0
        self.resume()

    def record_pass(self, amount: float, duration_s: float) -> None:
        """Add the measurement of work that took `duration_s`."""
        # The weight depends on the seconds alone: the mean is the same whether a pass is measured whole or in parts.
        weight = 1.0 - 0.5 ** (duration_s / self._half_life_s) if self.per_s else 1.0
        self.per_s += weight * (amount / duration_s - self.per_s)

    def resume(self) -> None:
        """Start a measurement: the queue was empty until now, and idle time is not work."""
        self._completed = 0
        self._window_start_s = self._burst_start_s = self._completion_s = self._clock()

    def record_completion(self, amount: int) -> None:
        """
        Add work that is completed now.

        Work that shares a call completes in a burst. A measurement ends with a burst, at least `half_life_s` after
        its start. A burst of that length is cut.
        """
        now_s = self._clock()
        ended = now_s - self._completion_s >= BURST_GAP_S
        if ended or now_s - self._burst_start_s >= self._half_life_s:
            if self._completion_s - self._window_start_s >= self._half_life_s:
                self.pause()
            self._burst_start_s = now_s
        self._completed += amount
        self._completion_s = now_s

    def pause(self) -> None:
        """End the measurement with the last completion, because the queue is empty."""
        duration_s = self._completion_s - self._window_start_s
        if self._completed and duration_s > 0:
            self.record_pass(self._completed, duration_s)
        self._completed, self._window_start_s = 0, self._completion_s

    def amount_within(self, duration_s: float) -> float:
        """Return the amount that is completed within `duration_s`, infinity before the first measurement."""
        return duration_s * self.per_s if self.per_s else math.inf

    def seconds_for(self, amount: int) -> int:
        """Return the whole seconds, at least 1, until `amount` is completed; 1 before the first measurement."""
        return max(1, math.ceil(amount / self.per_s)) if self.per_s else 1
