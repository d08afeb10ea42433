"""How much this gateway takes on before it says that it has enough."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager

from gateways.core.errors import Overloaded

# English has about four characters to a token, and this process has no tokenizer to count with.
CHARACTERS_PER_TOKEN = 4


class Backlog:
    """What was sent upstream or waits for it, in characters: as many as MAX_QUEUE_TOKENS tokens have, at most."""

    def __init__(self, max_queue_tokens: int) -> None:
        self._most = max_queue_tokens * CHARACTERS_PER_TOKEN
        self._held = self._answered = 0
        self._busy_since_s = 0.0

    @contextmanager
    def holding(self, characters: int) -> Iterator[None]:
        """Count this much as waiting while inside. Raises Overloaded when there is too much already."""
        if not self._held:
            self._answered, self._busy_since_s = 0, time.perf_counter()
        elif self._held + characters > self._most:
            raise Overloaded(
                f"{self._held} characters wait for the embed service already and {self._most} may; retry later",
                retry_after_s=self._seconds_left(),
            )
        self._held += characters
        try:
            yield
        finally:
            self._held -= characters
            self._answered += characters

    def _seconds_left(self) -> int:
        """Return how long what waits will take, at the speed since this process was last idle."""
        busy_s = time.perf_counter() - self._busy_since_s
        return max(1, math.ceil(self._held * busy_s / self._answered)) if self._answered else 1
