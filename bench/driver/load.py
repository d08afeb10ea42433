"""The driver's input and output: plain data, sent through a pipe."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]
F64 = NDArray[np.float64]


class Call(NamedTuple):
    """One request: its route, its serialised body, and its number of texts or documents."""

    route: str
    body: bytes
    items: int = 1


@dataclass(frozen=True)
class Load:
    """
    The load of one window: the requests to one target and their timing.

    `ports` spreads the connections over several processes of one target; () is `port` alone.

    `warmup` and `calls` are sent once each, in order. Requests in flight at the end are awaited and counted. Every
    `keep_every`-th answer is kept whole.

    * Without `schedule_s` the loop is closed, with `concurrency` requests in flight. Sending stops when both
      `min_seconds` and `min_requests` are reached, at `max_seconds`, or after the last call.
    * With `schedule_s` (ascending seconds from the window's start, one per call) the loop is open. Each call is due
      at its time, whether or not earlier calls are answered. `concurrency` is the number of connections. With
      `limit_ms`, sending stops early once the share of latencies above that limit is surely below or above 1 %.
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
    limit_ms: float | None = None
    warmup_seconds: float = 1.0
    warmup_concurrency: int | None = None
    keep_every: int = 20
    client: str = "raw"
    timeout_s: float = 60.0
    host: str = "127.0.0.1"
    ports: tuple[int, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Outcome:
    """
    The outcome of a window.

    Arrays have one value per validated answer, in order of completion: `numbers` (index of the call), `done_ns` (from
    the window's start), `service_ns` (done - sent), `latency_ns` (done - due in an open loop, else `service_ns`).

    `handed_over` counts validated answers to the warm-up's last requests, which a closed loop leaves in flight. The
    target worked on them in the window, so that they count for its rate; their latencies are not among the samples.

    `late_ns` has one value per request of an open loop: how late the driver began to send it. Waiting for a free
    connection is not included; the target causes it, and it is part of the latency.

    The warm-up sent `warmed` requests; `warmup_numbers` are the indices of those with a validated answer. `lag_s` is
    the time in which the driver's event loop was blocked. `shed` counts the errors with status 429, 503 or 504;
    `kept` holds (number, answer) pairs.
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
    handed_over: int = 0
    warmup_numbers: Sequence[int] = ()

    @property
    def completed(self) -> int:
        """The validated answers of the window, those to handed-over requests included."""
        return len(self.latency_ns) + self.handed_over

    def stall_ms(self) -> float:
        """Return the longest time without an answer while a request was in flight; 0.0 without any answer."""
        if not len(self.done_ns):
            return 0.0
        order = np.argsort(self.done_ns)
        done, sent = self.done_ns[order], (self.done_ns - self.service_ns)[order]
        # Requests from i on are unanswered until answer i arrives; the oldest was sent at the minimum of their times.
        waiting_since = np.minimum.accumulate(sent[::-1])[::-1]
        answered_before = np.concatenate([[0], done[:-1]])
        return float((done - np.maximum(answered_before, waiting_since)).max()) / 1e6
