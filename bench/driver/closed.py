"""The closed loop: a fixed number in flight, the next sent when one is answered, no think time."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from importlib import import_module
from typing import Protocol

import numpy as np

from bench import dialects
from bench.driver.client import Answer
from bench.driver.load import Load, Outcome
from bench.errors import AnswerError


class Client(Protocol):
    """What a client module's `Client` does; see `bench.driver.client`."""

    def serialise(self, body: bytes) -> bytes: ...  # noqa: D102
    async def connect(self) -> None: ...  # noqa: D102
    async def send(self, request: bytes) -> Answer: ...  # noqa: D102
    async def close(self) -> None: ...  # noqa: D102


@dataclass
class Window:
    """Requests to send, when to stop sending, and what came back."""

    requests: list[bytes]
    load: Load
    started_ns: int = 0
    sent: int = 0
    finished_ns: int = 0
    latencies: list[int] = field(default_factory=list)
    errors: int = 0
    empties: int = 0
    kept: list[tuple[int, bytes]] = field(default_factory=list)
    first_error: str = ""

    def next_request(self) -> int | None:
        """The number of the next request to send; None when the window is closed."""
        elapsed_s = (time.perf_counter_ns() - self.started_ns) / 1e9
        enough = elapsed_s >= self.load.min_seconds and self.sent >= self.load.min_requests
        if enough or elapsed_s >= self.load.max_seconds or self.sent >= len(self.requests):
            return None
        self.sent += 1
        return self.sent - 1

    def fail(self, reason: str) -> None:
        """Count an answer that is not a validated 2xx."""
        self.errors += 1
        self.first_error = self.first_error or reason


async def run(load: Load, opened: Callable[[], None]) -> Outcome:
    """Warm up, call `opened` with nothing in flight, then run the timed window on the same connections."""
    client_type = import_module("bench.driver.client" + ("" if load.client == "raw" else f"_{load.client}")).Client
    clients: list[Client] = [client_type(load.port, load.path) for _ in range(load.concurrency)]
    warmup = Window([clients[0].serialise(body) for body in load.warmup], _warmup(load))
    window = Window([clients[0].serialise(body) for body in load.bodies], load)
    try:
        await asyncio.gather(*(client.connect() for client in clients))
        await _drive(warmup, clients)
        opened()
        cpu_before = time.process_time()
        await _drive(window, clients)
        cpu_s = time.process_time() - cpu_before
    finally:
        await asyncio.gather(*(client.close() for client in clients))
    return _outcome(window, warmup.sent, cpu_s)


def _warmup(load: Load) -> Load:
    """As long as asked, each connection used at least twice, nothing kept."""
    return replace(
        load,
        min_seconds=load.warmup_seconds,
        max_seconds=load.max_seconds,
        min_requests=2 * load.concurrency,
        keep_every=sys.maxsize,
    )


async def _drive(window: Window, clients: list[Client]) -> None:
    dialect = dialects.load(window.load.dialect)
    window.started_ns = time.perf_counter_ns()
    await asyncio.gather(*(_worker(window, client, dialect) for client in clients))
    window.finished_ns = time.perf_counter_ns()


async def _worker(window: Window, client: Client, dialect: dialects.Dialect) -> None:
    while (number := window.next_request()) is not None:
        sent_ns = time.perf_counter_ns()
        try:
            async with asyncio.timeout(window.load.timeout_s):
                answer = await client.send(window.requests[number])
        except (OSError, TimeoutError) as error:
            window.fail(f"{type(error).__name__}: {error}")
            await client.close()
            continue
        _judge(window, dialect, number, answer, answer.done_ns - sent_ns)


def _judge(window: Window, dialect: dialects.Dialect, number: int, answer: Answer, latency_ns: int) -> None:
    if answer.status != 200:
        window.fail(f"status {answer.status}: {answer.body[:200]!r}")
        return
    try:
        holds_something = dialect.check(window.load.route, answer.body)
    except AnswerError as error:
        window.fail(str(error))
        return
    window.latencies.append(latency_ns)
    window.empties += not holds_something
    if number % window.load.keep_every == 0:
        window.kept.append((number, answer.body))


def _outcome(window: Window, warmed: int, cpu_s: float) -> Outcome:
    return Outcome(
        warmed=warmed,
        requests=window.sent,
        latency_ns=np.asarray(window.latencies, dtype=np.int64),
        errors=window.errors,
        empties=window.empties,
        wall_s=(window.finished_ns - window.started_ns) / 1e9,
        driver_cpu_s=cpu_s,
        kept=window.kept,
        first_error=window.first_error,
    )
