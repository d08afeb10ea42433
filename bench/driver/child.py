"""One load inside the driver process: connect, warm up, run the timed window, and measure event-loop lag."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib import import_module
from itertools import cycle, islice

from bench import dialects
from bench.driver import closed_loop, open_loop
from bench.driver.load import Call, Load, Outcome
from bench.driver.recorder import Client, Window

TICK_S, ALLOWED_S = 0.005, 0.005


async def run(load: Load, opened: Callable[[], None]) -> Outcome:
    """
    Warm up in a closed loop, call `opened`, run the timed window; return its outcome.

    A closed loop goes from the warm-up into the window without a pause. Before an open loop nothing is in flight.
    """
    client_type = import_module("bench.driver.client" + ("" if load.client == "raw" else f"_{load.client}")).Client
    ports = islice(cycle(load.ports or (load.port,)), load.concurrency)
    clients: list[Client] = [client_type(load.host, port, load.headers) for port in ports]
    warmup = _build_window(load, clients[0], load.warmup, sys.maxsize)
    window = _build_window(load, clients[0], load.calls, load.keep_every)
    try:
        await asyncio.gather(*(_connect(client, load.timeout_s) for client in clients))
        with _garbage_collection_paused():
            watch = Watch(opened)
            await _drive(warmup, window, load, clients, watch.open)
            cpu_s, lag_s = await watch.stop()
    finally:
        await asyncio.gather(*(client.close() for client in clients))
    return window.outcome(warmup, cpu_s, lag_s)


async def _drive(
    warmup: Window, window: Window, load: Load, clients: list[Client], opened: Callable[[], None]
) -> None:
    """Warm up for `warmup_seconds`, with at least two requests per connection, then drive the window."""
    used = clients[: load.warmup_concurrency or len(clients)]
    warm = closed_loop.Limits(load.warmup_seconds, load.max_seconds, 2 * len(used))
    if load.schedule_s is None:
        limits = closed_loop.Limits(load.min_seconds, load.max_seconds, load.min_requests)
        await closed_loop.drive_warm(warmup, window, clients, (warm, limits), opened)
        return
    await closed_loop.drive(warmup, used, warm)
    opened()
    await open_loop.drive(window, clients, load.schedule_s)


@contextmanager
def _garbage_collection_paused() -> Iterator[None]:
    """Pause cyclic garbage collection. With thousands of waiting requests, one run stops the loop for over 100 ms."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def _connect(client: Client, timeout_s: float) -> None:
    """Connect before the clock runs. A failed connection is retried by its first request, whose error counts."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(timeout_s):
            await client.connect()


def _build_window(load: Load, client: Client, calls: Sequence[Call], keep_every: int) -> Window:
    requests = [client.serialise(load.paths[call.route], call.body) for call in calls]
    return Window(load, list(calls), requests, dialects.load(load.dialect), keep_every)


class Watch:
    """The driver's own CPU time and lag since the window opened."""

    def __init__(self, opened: Callable[[], None]) -> None:
        self._opened = opened
        self._loop = asyncio.get_running_loop()
        self._cpu_before_s = 0.0
        self._lag: Lag | None = None

    def open(self) -> None:
        """Call `opened`, then begin to watch; in any thread."""
        self._opened()
        self._cpu_before_s = time.process_time()
        self._lag = Lag(self._loop)

    async def stop(self) -> tuple[float, float]:
        """Return the CPU seconds and the lag in seconds."""
        cpu_s = time.process_time() - self._cpu_before_s
        return cpu_s, 0.0 if self._lag is None else await self._lag.stop()


class Lag:
    """Sums the delays of the event loop's timer. A stopped, starved or overloaded driver cannot measure time."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._total_s = 0.0
        self._future = asyncio.run_coroutine_threadsafe(self._watch(), loop)

    async def stop(self) -> float:
        """Stop; return the seconds in which the loop was due and did not run."""
        self._future.cancel()
        return self._total_s

    async def _watch(self) -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(TICK_S)
            self._total_s += max(0.0, time.perf_counter() - before - TICK_S - ALLOWED_S)
