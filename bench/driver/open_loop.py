"""The open loop: every request is due at its own time, whatever became of those before it."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

from bench.driver.load import F64
from bench.driver.window import Client, Window


async def drive(window: Window, clients: list[Client], schedule_s: F64) -> None:
    """
    Send request i at `schedule_s[i]`, on the connection that has been free the longest.

    With none free it waits for one, and its latency runs from when it was due.
    """
    loop = asyncio.get_running_loop()
    free: asyncio.Queue[Client] = asyncio.Queue()
    for client in clients:
        free.put_nowait(client)
    tasks: list[asyncio.Task[None]] = []

    def send(number: int, due_ns: int) -> None:
        window.sent += 1
        tasks.append(loop.create_task(_one(window, free, number, due_ns)))

    window.started_ns = time.perf_counter_ns()
    due_ns = (window.started_ns + schedule_s[: len(window.requests)] * 1e9).astype(int).tolist()
    await asyncio.to_thread(
        _metronome, due_ns, lambda number: loop.call_soon_threadsafe(send, number, due_ns[number])
    )
    await asyncio.sleep(0)  # the last one is a task now
    await asyncio.gather(*tasks)
    window.finished_ns = time.perf_counter_ns()


def _metronome(due_ns: list[int], tick: Callable[[int], object]) -> None:
    """Tick at each time, from a thread: the loop's own timers count in whole milliseconds."""
    threading.current_thread().name = "metronome"
    for number, at_ns in enumerate(due_ns):
        left_s = (at_ns - time.perf_counter_ns()) / 1e9
        if left_s > 0:
            time.sleep(left_s)
        tick(number)


async def _one(window: Window, free: asyncio.Queue[Client], number: int, due_ns: int) -> None:
    client = await free.get()
    try:
        await window.exchange(client, number, due_ns)
    finally:
        free.put_nowait(client)
