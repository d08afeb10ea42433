"""The recorder of a window: it sends requests, validates answers and counts them."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from bench import dialects
from bench.driver.client import Answer
from bench.driver.load import Call, Load, Outcome
from bench.errors import AnswerError

# Statuses of load shedding: rate limited, unavailable, or not finished within the request's own time limit.
SHED = (429, 503, 504)


class Client(Protocol):
    """The interface of a client module's `Client`; see `bench.driver.client`."""

    def serialise(self, path: str, body: bytes) -> bytes: ...  # noqa: D102
    async def connect(self) -> None: ...  # noqa: D102
    async def send(self, request: bytes) -> Answer: ...  # noqa: D102
    async def close(self) -> None: ...  # noqa: D102


@dataclass
class Window:
    """The requests of a window, and the counts and times of its answers; `started_ns` is set when it opens."""

    load: Load
    calls: list[Call]
    requests: list[bytes]
    dialect: dialects.Dialect
    keep_every: int
    started_ns: int = 0
    sent: int = 0
    finished_ns: int = 0
    answered: list[tuple[int, int, int, int]] = field(default_factory=list)
    late: list[int] = field(default_factory=list)
    errors: int = 0
    shed: int = 0
    empties: int = 0
    kept: list[tuple[int, bytes]] = field(default_factory=list)
    first_error: str = ""
    handed_over: int = 0

    async def exchange(self, client: Client, number: int, due_ns: int | None = None) -> None:
        """Send one request and count its answer. `due_ns` is its scheduled time in an open loop."""
        sent_ns = time.perf_counter_ns()
        try:
            async with asyncio.timeout(self.load.timeout_s):
                answer = await client.send(self.requests[number])
        except (OSError, TimeoutError) as error:
            self.fail(f"{type(error).__name__}: {error}")
            await client.close()
            return
        if self._validate(number, answer):
            done_ns = answer.done_ns
            latency_ns = done_ns - (sent_ns if due_ns is None else due_ns)
            self.answered.append((number, done_ns - self.started_ns, done_ns - sent_ns, latency_ns))

    def _validate(self, number: int, answer: Answer) -> bool:
        """Return whether the answer is a 2xx of the promised shape; count errors and empty answers."""
        call = self.calls[number]
        if not 200 <= answer.status < 300:
            self.shed += answer.status in SHED
            self.fail(f"{call.route}: status {answer.status}: {answer.body[:200]!r}")
            return False
        try:
            has_content = self.dialect.check(call.route, answer.body, call.items)
        except AnswerError as error:
            self.fail(f"{call.route}: {error}")
            return False
        self.empties += not has_content
        if number % self.keep_every == 0:
            self.kept.append((number, answer.body))
        return True

    def fail(self, reason: str) -> None:
        """Count an error; keep the reason of the first one."""
        self.errors += 1
        self.first_error = self.first_error or reason

    def outcome(self, warmup: Window, cpu_s: float, lag_s: float) -> Outcome:
        """Return the outcome of the closed window after its warm-up."""
        columns = np.asarray(self.answered, dtype=np.int64).reshape(-1, 4).T
        return Outcome(
            warmed=warmup.sent,
            requests=self.sent,
            numbers=columns[0].copy(),
            done_ns=columns[1].copy(),
            service_ns=columns[2].copy(),
            latency_ns=columns[3].copy(),
            late_ns=np.asarray(self.late, dtype=np.int64),
            errors=self.errors,
            shed=self.shed,
            empties=self.empties,
            wall_s=(self.finished_ns - self.started_ns) / 1e9,
            driver_cpu_s=cpu_s,
            lag_s=lag_s,
            kept=self.kept,
            first_error=self.first_error,
            handed_over=self.handed_over,
            warmup_numbers=[number for number, *_ in warmup.answered],
        )
