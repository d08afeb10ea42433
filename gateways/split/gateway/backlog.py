"""How much this gateway takes on before it says that it has enough."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gateways.core.backend import Lane
from gateways.core.errors import Overloaded

# English has about four characters to a token, and this process has no tokenizer to count with.
CHARACTERS_PER_TOKEN = 4
# The speed is measured over at least so long.
WINDOW_S = 0.25


class Backlog:
    """
    What was sent upstream or waits for it, in characters.

    Refused is what goes beyond as many as MAX_QUEUE_TOKENS tokens have, and a query that would wait too long.
    """

    def __init__(self, max_queue_tokens: int, max_batch_tokens: int, max_wait_s: float) -> None:
        self._most = max_queue_tokens * CHARACTERS_PER_TOKEN
        self._longest_query = max_batch_tokens * CHARACTERS_PER_TOKEN
        self._max_wait_s = max_wait_s
        self._held: dict[Lane, int] = {"interactive": 0, "bulk": 0}
        self._per_s = 0.0
        self._answered = 0
        self._since_s = 0.0

    @contextmanager
    def holding(self, characters: int, lane: Lane) -> Iterator[None]:
        """Count this much as waiting while inside. Raises Overloaded when there is too much already."""
        if characters > self._longest_query:
            lane = "bulk"
        if refused := self.refusal(lane, characters):
            raise refused
        if not any(self._held.values()):
            self._answered, self._since_s = 0, time.perf_counter()
        self._held[lane] += characters
        try:
            yield
        finally:
            self._held[lane] -= characters
            self._measure(characters)

    def refusal(self, lane: Lane, characters: int = 0) -> Overloaded | None:
        """Return what so much would be refused with now, None while it would not be."""
        held = sum(self._held.values())
        if held and held + characters > self._most:
            said = f"{held} characters wait for the embed service already and {self._most} may"
            return Overloaded(f"{said}; retry later", retry_after_s=self._seconds(held))
        # The speed is known once something was answered, and low while a model is loaded for somebody: what goes in
        # one pass may always wait.
        ahead = self._held["interactive"]
        if lane == "interactive" and self._per_s and ahead > max(self._max_wait_s * self._per_s, self._longest_query):
            wait_s = ahead / self._per_s
            said = f"a request would wait {wait_s:.1f} s for the embed service and {self._max_wait_s:g} s"
            return Overloaded(f"{said} is the most; retry later", retry_after_s=self._seconds(ahead))
        return None

    def _measure(self, characters: int) -> None:
        self._answered += characters
        busy_s = time.perf_counter() - self._since_s
        if busy_s < WINDOW_S and self._per_s:
            return
        speed = self._answered / max(busy_s, 1e-6)
        self._per_s += (0.5 if self._per_s else 1.0) * (speed - self._per_s)
        self._answered, self._since_s = 0, time.perf_counter()

    def _seconds(self, characters: int) -> int:
        return max(1, math.ceil(characters / self._per_s)) if self._per_s else 1
