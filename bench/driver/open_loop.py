"""The open loop: every request is due at its scheduled time, whether or not earlier requests are answered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager

import numpy as np

from bench.driver.load import F64
from bench.driver.recorder import Client, Window
from bench.statistics import tail

LOOK_S = 1.0  # between two looks at the answers so far


class PoolTimeout(Exception):
    """No connection became free within the timeout."""


class Pool:
    """
    The free connections. Waiting requests are served first in, first out; connections are reused last in, first out.

    Round-robin use would let every connection idle as long as possible, and servers close idle connections.
    """

    def __init__(self, clients: list[Client], timeout_s: float) -> None:
        self._free = clients[::-1]  # the warm-up used the first ones
        self._slots = asyncio.Semaphore(len(clients))
        self._timeout_s = timeout_s

    @asynccontextmanager
    async def client(self) -> AsyncIterator[Client]:
        """Lend a connection for the block. Raises PoolTimeout."""
        try:
            async with asyncio.timeout(self._timeout_s):
                await self._slots.acquire()
        except TimeoutError:
            raise PoolTimeout(f"no connection became free in {self._timeout_s:g} s: none was answered") from None
        client = self._free.pop()
        try:
            yield client
        finally:
            self._free.append(client)
            self._slots.release()


async def drive(window: Window, clients: list[Client], schedule_s: F64) -> None:
    """
    Send request i at `schedule_s[i]`, on the connection that became free last.

    A request waits if no connection is free; its latency still runs from its due time. A wait longer than the load's
    `timeout_s` is an error, so the window ends even if the target never answers. With the load's `limit_ms`, sending
    stops when `Decision` is made.
    """
    loop = asyncio.get_running_loop()
    pool = Pool(clients, window.load.timeout_s)
    tasks: list[asyncio.Task[None]] = []

    def send(number: int, due_ns: int) -> None:
        window.sent += 1
        tasks.append(loop.create_task(_send_request(window, pool, number, due_ns)))

    window.started_ns = time.perf_counter_ns()
    due_ns = (window.started_ns + schedule_s[: len(window.requests)] * 1e9).astype(int).tolist()
    stop = threading.Event()
    decision = loop.create_task(_watch(window, schedule_s, stop))
    await asyncio.to_thread(
        _run_metronome, due_ns, lambda number: loop.call_soon_threadsafe(send, number, due_ns[number]), stop
    )
    decision.cancel()
    await asyncio.sleep(0)  # let the loop create the last task
    await asyncio.gather(*tasks)
    window.finished_ns = time.perf_counter_ns()


async def _watch(window: Window, schedule_s: F64, stop: threading.Event) -> None:
    """Set `stop` when the load's limit is surely held, or surely not; never without a limit."""
    load = window.load
    if load.limit_ms is None:
        return
    decision = Decision(schedule_s, load.limit_ms, load.min_seconds)
    while not stop.is_set():
        await asyncio.sleep(LOOK_S)
        if decision.made(window.answered, (time.perf_counter_ns() - window.started_ns) / 1e9):
            stop.set()


class Decision:
    """
    Whether the p99 of an open loop is within a limit, decided while it runs.

    A request counts when it is as old as the limit; it is above the limit if it has no answer within it. To hold a
    limit takes `min_seconds`; to break it takes a third of that, because a queue that has grown does not shrink.
    """

    def __init__(self, schedule_s: F64, limit_ms: float, min_seconds: float) -> None:
        self._schedule_s, self._limit_ns, self._min_seconds = schedule_s, limit_ms * 1e6, min_seconds
        self._over = np.ones(len(schedule_s), bool)
        self._read = 0

    def made(self, answered: Sequence[tuple[int, int, int, int]], now_s: float) -> bool:
        """Return whether the answers so far decide; `answered` as in `Window`, only ever longer."""
        for number, _, _, latency_ns in answered[self._read :]:
            self._over[number] = latency_ns > self._limit_ns
        self._read = len(answered)
        held = tail.decide(self._over[: np.searchsorted(self._schedule_s, now_s - self._limit_ns / 1e9)])
        if held is None:
            return False
        return now_s >= (self._min_seconds if held else self._min_seconds / 3)


def _run_metronome(due_ns: list[int], tick: Callable[[int], object], stop: threading.Event) -> None:
    """Call `tick` at each time, from a thread, because timers of the event loop have millisecond resolution."""
    threading.current_thread().name = "metronome"
    for number, at_ns in enumerate(due_ns):
        if stop.is_set():
            return
        left_s = (at_ns - time.perf_counter_ns()) / 1e9
        if left_s > 0:
            time.sleep(left_s)
        tick(number)


async def _send_request(window: Window, pool: Pool, number: int, due_ns: int) -> None:
    window.late.append(time.perf_counter_ns() - due_ns)
    try:
        async with pool.client() as client:
            await window.exchange(client, number, due_ns)
    except PoolTimeout as error:
        window.fail(str(error))
