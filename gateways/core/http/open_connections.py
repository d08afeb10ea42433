"""The connections of a process: how many there may be, and how long one may leave its answers unread."""

from __future__ import annotations

import asyncio
from typing import Any, Literal, Protocol, TypeAlias

# The paths of the probes: they need no key, and a full process still answers them.
PROBE_PATHS = frozenset({"/healthz", "/readyz", "/health"})
# Connections above the maximum that are served the probes alone, so that a full process still counts as alive.
PROBE_CONNECTIONS = 16
# An unread answer is noticed this many times within the write timeout.
CHECKS_PER_TIMEOUT = 4

Admission: TypeAlias = Literal["open", "probes only", "refused"]


class WatchedConnection(Protocol):
    """What is known of a connection; `cycle` is its newest request."""

    transport: asyncio.Transport

    cycle: Any


class OpenConnections:
    """
    The connections of a process, at most `maximum`.

    A new one takes the place of the one that has been without a request for the longest time. A connection whose
    client reads nothing for `write_timeout_s` while bytes wait for it is aborted.
    """

    def __init__(self, maximum: int, write_timeout_s: float) -> None:
        self._maximum = maximum
        self._write_timeout_s = write_timeout_s
        self._all: dict[WatchedConnection, _Progress] = {}
        self._idle: dict[WatchedConnection, None] = {}  # the longest idle one first
        self._timer: asyncio.TimerHandle | None = None

    def enter(self, connection: WatchedConnection, loop: asyncio.AbstractEventLoop) -> Admission:
        """Add a connection. Returns what it may do."""
        if len(self._all) >= self._maximum and self._idle:
            self._evict(next(iter(self._idle)))
        spare = self._maximum + PROBE_CONNECTIONS - len(self._all)
        if spare <= 0:
            return "refused"
        self._all[connection] = _Progress(loop.time())
        self._idle[connection] = None
        if self._timer is None:
            self._timer = self._schedule(loop)
        return "open" if spare > PROBE_CONNECTIONS else "probes only"

    def leave(self, connection: WatchedConnection) -> None:
        """Forget a connection."""
        self._all.pop(connection, None)
        self._idle.pop(connection, None)

    def mark_busy(self, connection: WatchedConnection) -> None:
        """Note that a request has arrived."""
        self._idle.pop(connection, None)

    def mark_idle(self, connection: WatchedConnection) -> None:
        """Note that all requests are answered."""
        if connection in self._all:
            self._idle[connection] = None

    def _evict(self, connection: WatchedConnection) -> None:
        self.leave(connection)
        if connection.transport.get_write_buffer_size():
            connection.transport.abort()
        else:
            connection.transport.close()

    def _schedule(self, loop: asyncio.AbstractEventLoop) -> asyncio.TimerHandle:
        return loop.call_later(self._write_timeout_s / CHECKS_PER_TIMEOUT, self._abort_unread, loop)

    def _abort_unread(self, loop: asyncio.AbstractEventLoop) -> None:
        now_s = loop.time()
        for connection, progress in list(self._all.items()):
            unread_bytes = connection.transport.get_write_buffer_size()
            if progress.idle_s(unread_bytes, connection.cycle, now_s) >= self._write_timeout_s:
                connection.transport.abort()
        self._timer = self._schedule(loop) if self._all else None


class _Progress:
    """What a client has read of its answers so far."""

    __slots__ = ("_moved_s", "_request", "_unread_bytes")

    def __init__(self, now_s: float) -> None:
        self._request: object = None
        self._unread_bytes = 0
        self._moved_s = now_s

    def idle_s(self, unread_bytes: int, request: object, now_s: float) -> float:
        """Return the seconds for which bytes have waited and none was read."""
        if not unread_bytes or unread_bytes < self._unread_bytes or request is not self._request:
            self._moved_s = now_s
        self._unread_bytes, self._request = unread_bytes, request
        return now_s - self._moved_s
