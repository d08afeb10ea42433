"""What the driver is asked for and what it hands back: plain data, sent through a pipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]


class Call(NamedTuple):
    """One request: its route, its serialised body, and how many texts or documents it asks about."""

    route: str
    body: bytes
    items: int = 1


@dataclass(frozen=True)
class Load:
    """
    What to send to one target, and when.

    `warmup` and `calls` are sent once each, in order. Without a schedule the loop is closed: `concurrency` are in
    flight, and the window closes for new requests when both `min_seconds` and `min_requests` are reached, at
    `max_seconds`, or when the calls are used up. With `schedule_s` (ascending seconds from the window's start, one a
    call) the loop is open: each call is due at its time whatever became of those before it, and `concurrency` is the
    number of connections, so the most that can be in flight. What is in flight at the end is awaited and counted.
    Every `keep_every`-th answer is kept whole.
    """

    port: int
    paths: Mapping[str, str]
    dialect: str
    concurrency: int
    warmup: Sequence[Call]
    calls: Sequence[Call]
    min_seconds: float = 0.0
    max_seconds: float = 60.0
    min_requests: int = 0
    schedule_s: F64 | None = None
    warmup_seconds: float = 1.0
    warmup_concurrency: int | None = None
    keep_every: int = 20
    client: str = "raw"
    timeout_s: float = 60.0
    host: str = "127.0.0.1"
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Outcome:
    """
    What happened in the window.

    One value per validated answer, in order of completion: `numbers` (of its call), `done_ns` (from the window's
    start), `service_ns` (done - sent) and `latency_ns` (done - due in an open loop, as `service_ns` in a closed one).
    `late_ns` is by how much the driver missed the time of each request of an open loop: what it then waits for a free
    connection is the target's doing, and in its latency only. `lag_s` is for how long the driver's own loop did not
    run though it should have. `shed` are the errors with status 429, 503 or 504. `kept` holds (number, answer).
    """

    warmed: int
    requests: int
    numbers: I64
    done_ns: I64
    service_ns: I64
    latency_ns: I64
    late_ns: I64
    errors: int
    shed: int
    empties: int
    wall_s: float
    driver_cpu_s: float
    lag_s: float
    kept: list[tuple[int, bytes]] = field(default_factory=list)
    first_error: str = ""

    def stall_ms(self) -> float:
        """The longest time without an answer while a request was out; 0.0 with nothing answered."""
        if not len(self.done_ns):
            return 0.0
        order = np.argsort(self.done_ns)
        done, sent = self.done_ns[order], (self.done_ns - self.service_ns)[order]
        # Before answer i came, the longest waiting of all still unanswered was sent at the least of those from i on.
        waiting_since = np.minimum.accumulate(sent[::-1])[::-1]
        answered_before = np.concatenate([[0], done[:-1]])
        return float((done - np.maximum(answered_before, waiting_since)).max()) / 1e6
