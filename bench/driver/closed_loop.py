"""The closed loop: a fixed number of requests in flight; each answer sends the next request, without think time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass

from bench.driver.recorder import Client, Window


@dataclass(frozen=True)
class Limits:
    """The limits of a closed loop: it stops sending when both minima are reached, or at the maximum."""

    min_seconds: float
    max_seconds: float
    min_requests: int


async def drive(window: Window, clients: list[Client], limits: Limits) -> None:
    """Send the window's requests, one at a time on each client; return after the last answer."""
    window.started_ns = time.perf_counter_ns()
    await asyncio.gather(*(_worker(window, client, limits) for client in clients))
    window.finished_ns = time.perf_counter_ns()


async def drive_warm(
    warmup: Window, window: Window, clients: list[Client], limits: tuple[Limits, Limits], opened: Callable[[], None]
) -> None:
    """
    Warm up within the first limits, then open the window with the warm-up's last requests still in flight.

    A connection begins with the window's requests when its last one of the warm-up is answered. All at once would
    be a burst, which takes many answers to smooth out. `opened` runs in a thread, and the warm-up goes on meanwhile.
    """
    handover = Handover(warmup, window, *limits)
    warmup.started_ns = time.perf_counter_ns()
    await asyncio.gather(handover.open(opened), *(handover.work(client) for client in clients))
    window.finished_ns = time.perf_counter_ns()
    window.handed_over = len(warmup.answered) - handover.answered


class Handover:
    """The change from a warm-up to its window; `answered` is the number of the warm-up's answers before it."""

    def __init__(self, warmup: Window, window: Window, warm: Limits, timed: Limits) -> None:
        self.answered = 0
        self._warmup, self._window, self._warm, self._timed = warmup, window, warm, timed
        self._ready, self._started = asyncio.Event(), asyncio.Event()

    async def open(self, opened: Callable[[], None]) -> None:
        """Wait for the end of the warm-up, call `opened` and start the window."""
        await self._ready.wait()
        await asyncio.to_thread(opened)
        self.answered = len(self._warmup.answered)
        self._window.started_ns = time.perf_counter_ns()
        self._started.set()

    async def work(self, client: Client) -> None:
        """Send requests of the warm-up, one at a time, until the window starts; then those of the window."""
        while _is_open(self._warmup, self._warm):
            await _send_next(self._warmup, client)
        self._ready.set()
        while not self._started.is_set() and self._warmup.sent < len(self._warmup.requests):
            await _send_next(self._warmup, client)
        await self._started.wait()
        await _worker(self._window, client, self._timed)


async def _worker(window: Window, client: Client, limits: Limits) -> None:
    while _is_open(window, limits):
        await _send_next(window, client)


async def _send_next(window: Window, client: Client) -> None:
    number = window.sent
    window.sent += 1
    await window.exchange(client, number)


def _is_open(window: Window, limits: Limits) -> bool:
    elapsed_s = (time.perf_counter_ns() - window.started_ns) / 1e9
    enough = elapsed_s >= limits.min_seconds and window.sent >= limits.min_requests
    return not enough and elapsed_s < limits.max_seconds and window.sent < len(window.requests)
