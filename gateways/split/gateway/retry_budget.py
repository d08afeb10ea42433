"""Retry budgets: they keep second calls a small share of all calls, so that an outage does not multiply the load."""

from __future__ import annotations

import time
from collections.abc import Callable


class RetryBudget:
    """
    A token bucket of `capacity` tokens, full at the start.

    Each call adds `per_call` of a token, and each second adds `per_s`. A second call takes one token.
    """

    def __init__(
        self, capacity: float, *, per_call: float, per_s: float = 0.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._capacity, self._tokens = capacity, capacity
        self._per_call, self._per_s = per_call, per_s
        self._clock = clock
        self._filled_s = clock()

    def record_call(self) -> None:
        """Add the share of one call."""
        self._add(self._per_call)

    def take(self) -> bool:
        """Take a token for a second call. Returns False if there is none."""
        now_s = self._clock()
        self._add(self._per_s * (now_s - self._filled_s))
        self._filled_s = now_s
        if self._tokens < 1:
            return False
        self._tokens -= 1
        return True

    def _add(self, tokens: float) -> None:
        self._tokens = min(self._capacity, self._tokens + tokens)
