"""The pace of refusals: clients that come back at once leave the core time to serve the requests that are let in."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Protocol

# A request with a model takes ten times as long as a refusal, or more.
PER_REQUEST, PER_S = 2.0, 500.0
# Where more connections than CROWD wait for their turn, clients come back at once. They get a share of the pace.
CROWD, CROWD_SHARE = 250, 0.2
# That many come at once without a pause.
BURST = 250.0
# No connection is left unread for longer, however many wait.
MAX_PAUSE_S = 10.0
# Connections are read again together, so that the event loop wakes up once for many.
TICK_S = 0.01


class PacedConnection(Protocol):
    """A connection that can be left unread."""

    def hold_back(self) -> None:
        """Read nothing more."""
        ...

    def go_on(self) -> None:
        """Read again. It may be closed by now."""
        ...


class RefusalPace:
    """
    Leaves connections unread after a refusal while there are too many refusals.

    There may be PER_REQUEST for each request that is served, and PER_S a second; in a crowd there may be fewer.
    Beyond that, what clients send stays in the kernel, where it takes no time. Connections are read again in the
    order of their refusals. A request whose deadline has passed by then does not count, because the next one of its
    client may be served.
    """

    def __init__(self, burst: float = BURST) -> None:
        self._burst = burst
        self._allowed = burst
        self._refused = self._served = 0
        self._refilled_s = 0.0
        self._held: deque[tuple[float, PacedConnection]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def note_refusal(self, connection: PacedConnection, answered: int, loop: asyncio.AbstractEventLoop) -> None:
        """Count a refusal, and hold its connection back if there were too many among `answered` requests in all."""
        self._refused += 1
        now_s = loop.time()
        self._refill(now_s, answered - self._refused)
        if self._allowed >= 1 and not self._held:
            self._allowed -= 1
            return
        connection.hold_back()
        self._held.append((now_s + MAX_PAUSE_S, connection))
        if self._timer is None:
            self._timer = loop.call_later(TICK_S, self._release, loop)

    def _refill(self, now_s: float, served: int) -> None:
        """Allow what the time and the requests served since the last call give."""
        earned = PER_S * (now_s - self._refilled_s) + PER_REQUEST * (served - self._served)
        if len(self._held) > CROWD:
            earned *= CROWD_SHARE
        self._allowed = min(self._burst, self._allowed + earned)
        self._refilled_s, self._served = now_s, served

    def _release(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        self._refill(now_s, self._served)
        while self._held and (self._allowed >= 1 or self._held[0][0] <= now_s):
            self._allowed = max(0.0, self._allowed - 1)
            self._held.popleft()[1].go_on()
        self._timer = loop.call_later(TICK_S, self._release, loop) if self._held else None
