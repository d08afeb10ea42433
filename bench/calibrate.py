"""How fast the machine is right now: a fixed piece of work, timed on the server's cores while the server is idle."""

from __future__ import annotations

import hashlib
import statistics
import time

from bench import cores

WORK = bytes(4 << 20)
TRIES = 12
# A virtual machine gets some percent more or less from one moment to the next: its speed is the median of some looks.
LOOKS = 7


def seconds(on: tuple[int, ...]) -> float:
    """
    Seconds to hash 4 MiB on these cores: the median of seven looks, each the best of twelve tries.

    What disturbs a try can only make it slower. The calling thread moves there for as long as it takes (a fifth of a
    second or two).
    """
    with cores.pinned(on):
        return statistics.median(min(_once() for _ in range(TRIES)) for _ in range(LOOKS))


def _once() -> float:
    start = time.perf_counter()
    hashlib.sha256(WORK).digest()
    return time.perf_counter() - start
