"""A timeout that is started and stopped with every request, and costs a timer only now and then."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class LazyTimer:
    """
    Calls `expire` once `timeout_s` have passed since `start`, unless `stop` was called.

    A timer of the event loop stays scheduled while this one stops and starts again. When it is due it looks how much
    time is left.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, timeout_s: float, expire: Callable[[], None]) -> None:
        self._loop = loop
        self._timeout_s = timeout_s
        self._expire = expire
        self._end_s: float | None = None
        self._handle: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin the time, unless it runs."""
        if self._end_s is None:
            self._end_s = self._loop.time() + self._timeout_s
            if self._handle is None:
                self._handle = self._loop.call_later(self._timeout_s, self._look)

    def stop(self) -> None:
        """End the time."""
        self._end_s = None

    def close(self) -> None:
        """Stop for good."""
        self._end_s = None
        if self._handle is not None:
            self._handle.cancel()
            self._handle = None

    def _look(self) -> None:
        self._handle = None
        if self._end_s is None:
            return
        left_s = self._end_s - self._loop.time()
        if left_s > 0:
            self._handle = self._loop.call_later(left_s, self._look)
        else:
            self._end_s = None
            self._expire()
