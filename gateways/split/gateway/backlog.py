"""How much this gateway takes on before it says that it has enough."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager

from gateways.core.backend import Lane
from gateways.core.errors import Overloaded
from gateways.core.speed import Speed

# English has about four characters to a token, and this process has no tokenizer to count with.
CHARACTERS_PER_TOKEN = 4
# The speed is measured over at least so long.
WINDOW_S = 0.25


class Backlog:
    """
    What was sent upstream or waits for it, in characters.

    Refused is what goes beyond as many as MAX_QUEUE_TOKENS tokens have, and what would wait too long in its lane.
    """

    def __init__(
        self, max_queue_tokens: int, max_batch_tokens: int, max_wait_s: float, max_bulk_wait_s: float
    ) -> None:
        self._most = max_queue_tokens * CHARACTERS_PER_TOKEN
        self._longest_query = max_batch_tokens * CHARACTERS_PER_TOKEN
        self._max_wait_s: dict[Lane, float] = {"interactive": max_wait_s, "bulk": max_bulk_wait_s}
        self._held: dict[Lane, int] = {"interactive": 0, "bulk": 0}
        # Queries go first, so they wait for queries only and have all the speed that there is.
        self._speed, self._bulk_speed = Speed(WINDOW_S), Speed(WINDOW_S)

    @contextmanager
    def holding(self, characters: int, lane: Lane) -> Iterator[None]:
        """Count this much as waiting while inside. Raises Overloaded when there is too much already."""
        if refused := self.refusal(lane, characters):
            raise refused
        if not any(self._held.values()):
            self._speed.begin()
        if lane == "bulk" and not self._held["bulk"]:
            self._bulk_speed = Speed(WINDOW_S)  # how fast it was when there were other queries says nothing
        self._held[lane] += characters
        try:
            yield
        finally:
            self._held[lane] -= characters
            self._speed.did(characters)
            if lane == "bulk":
                self._bulk_speed.did(characters)

    def refusal(
        self, lane: Lane, characters: int = 0, within_s: float = math.inf, before: int = 0
    ) -> Overloaded | None:
        """
        Return what so much would be refused with now, None while it would not be.

        Of the time that it may take, half is for waiting; so many characters come `before` it and are not held yet.
        """
        held = sum(self._held.values()) + before
        if held and held + characters > self._most:
            said = f"{held} characters wait for the embed service already and {self._most} may"
            return Overloaded(f"{said}; retry later", retry_after_s=self._speed.seconds(held))
        # The speed is known once something was answered, and low while a model is loaded for somebody: what goes in
        # one pass may always wait.
        ahead, most_s = self._held[lane] + before, min(self._max_wait_s[lane], within_s / 2)
        speed = self._bulk_speed if lane == "bulk" else self._speed
        if ahead > max(speed.within(most_s), self._longest_query):
            said = f"a request would wait {ahead / speed.per_s:.1f} s for the embed service and {most_s:g} s"
            return Overloaded(f"{said} is the most; retry later", retry_after_s=speed.seconds(ahead))
        return None
