"""The turns of collections: one after the other, and after an error only when some time has passed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

FIRST_WAIT_S, MAX_WAIT_S = 0.25, 30.0


@dataclass(slots=True)
class _Pause:
    """The jobs of a collection wait until `until_s`, after so many errors in a row."""

    errors: int
    until_s: float


class Turns:
    """
    The order in which the collections with unfinished jobs are served.

    A large job does not hold up those of other collections, and neither does one that cannot go on: its collection is
    paused, with exponential backoff and jitter.
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, uniform: Callable[[float, float], float] = random.uniform
    ) -> None:
        """`clock` returns seconds, `uniform` a random number between its arguments."""
        self._clock = clock
        self._uniform = uniform
        self._served: dict[str, None] = {}
        self._pauses: dict[str, _Pause] = {}

    @property
    def served(self) -> list[str]:
        """Return the collections that were served, the last one at the end."""
        return [*self._served]

    @property
    def paused(self) -> list[str]:
        """Return the collections whose jobs are not to be claimed now."""
        now_s = self._clock()
        return [name for name, pause in self._pauses.items() if pause.until_s > now_s]

    @property
    def wait_s(self) -> float | None:
        """Return the seconds until the first pause ends, None if there is none."""
        if not self._pauses:
            return None
        return max(0.0, min(pause.until_s for pause in self._pauses.values()) - self._clock())

    def serve(self, collection: str) -> None:
        """Let all other collections go before this one."""
        self._served.pop(collection, None)
        self._served[collection] = None

    def pause(self, collection: str) -> int:
        """Let the jobs of a collection wait. Returns the number of its errors in a row."""
        pause = self._pauses.setdefault(collection, _Pause(0, 0.0))
        most_s = min(FIRST_WAIT_S * 2.0**pause.errors, MAX_WAIT_S)
        pause.errors += 1
        pause.until_s = self._clock() + self._uniform(most_s / 2, most_s)
        return pause.errors

    def resume(self, collection: str) -> bool:
        """Forget the errors of a collection. Returns False if there were none."""
        return self._pauses.pop(collection, None) is not None

    def forget(self) -> None:
        """Forget the order, because the queue is empty."""
        self._served.clear()
