"""The machine's speed: a fixed piece of work, timed on the server's cores while the server is idle."""

from __future__ import annotations

import hashlib
import statistics
import time

from bench.machine import cores

WORK = bytes(4 << 20)
TRIES = 12
# The speed of a virtual machine varies by some percent from moment to moment, so take the median of several samples.
SAMPLES = 7


def seconds(on: tuple[int, ...]) -> float:
    """
    Return the seconds to hash 4 MiB on the cores `on`: the median of 7 samples, each the fastest of 12 tries.

    The fastest try counts, because a disturbance can only slow a try down. The calling thread is pinned to `on`
    meanwhile, for 0.2 to 0.4 s.
    """
    with cores.pinned(on):
        return statistics.median(min(_time_hash() for _ in range(TRIES)) for _ in range(SAMPLES))


def _time_hash() -> float:
    start = time.perf_counter()
    hashlib.sha256(WORK).digest()
    return time.perf_counter() - start
