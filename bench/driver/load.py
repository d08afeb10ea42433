"""What the driver is asked for and what it hands back: plain data, sent through a pipe."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

I64 = NDArray[np.int64]


@dataclass(frozen=True)
class Load:
    """
    A closed loop of one route of one target.

    `warmup` and `bodies` are serialised and sent once each, in order. The window closes for new requests when both
    `min_seconds` and `min_requests` are reached, at `max_seconds`, or when the bodies are used up; what is in flight
    then is awaited and counted. Every `keep_every`-th answer is kept whole.
    """

    port: int
    path: str
    route: str
    dialect: str
    concurrency: int
    warmup: list[bytes]
    bodies: list[bytes]
    min_seconds: float
    max_seconds: float
    min_requests: int
    warmup_seconds: float = 1.0
    keep_every: int = 20
    client: str = "raw"
    timeout_s: float = 60.0


@dataclass
class Outcome:
    """
    What happened in the window.

    `latency_ns` holds one value per validated answer, in order of completion; `kept` holds (number of the body,
    answer).
    """

    warmed: int
    requests: int
    latency_ns: I64
    errors: int
    empties: int
    wall_s: float
    driver_cpu_s: float
    kept: list[tuple[int, bytes]] = field(default_factory=list)
    first_error: str = ""
