"""The open loop: every request is due at its scheduled time, whether or not earlier requests are answered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from bench.driver.load import F64
from bench.driver.recorder import Client, Window


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
    `timeout_s` is an error, so the window ends even if the target never answers.
    """
    loop = asyncio.get_running_loop()
    pool = Pool(clients, window.load.timeout_s)
    tasks: list[asyncio.Task[None]] = []

    def send(number: int, due_ns: int) -> None:
        window.sent += 1
        tasks.append(loop.create_task(_send_request(window, pool, number, due_ns)))

    window.started_ns = time.perf_counter_ns()
    due_ns = (window.started_ns + schedule_s[: len(window.requests)] * 1e9).astype(int).tolist()
    await asyncio.to_thread(
        _run_metronome, due_ns, lambda number: loop.call_soon_threadsafe(send, number, due_ns[number])
    )
    await asyncio.sleep(0)  # let the loop create the last task
    await asyncio.gather(*tasks)
    window.finished_ns = time.perf_counter_ns()


def _run_metronome(due_ns: list[int], tick: Callable[[int], object]) -> None:
    """Call `tick` at each time, from a thread, because timers of the event loop have millisecond resolution."""
    threading.current_thread().name = "metronome"
    for number, at_ns in enumerate(due_ns):
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
