"""The closed loop: a fixed number of requests in flight; each answer sends the next request, without think time."""

from __future__ import annotations

import asyncio
import time
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


async def _worker(window: Window, client: Client, limits: Limits) -> None:
    while _is_open(window, limits):
        number = window.sent
        window.sent += 1
        await window.exchange(client, number)


def _is_open(window: Window, limits: Limits) -> bool:
    elapsed_s = (time.perf_counter_ns() - window.started_ns) / 1e9
    enough = elapsed_s >= limits.min_seconds and window.sent >= limits.min_requests
    return not enough and elapsed_s < limits.max_seconds and window.sent < len(window.requests)
