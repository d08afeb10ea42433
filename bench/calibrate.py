"""How fast the machine is right now: a fixed piece of work, timed on the server's cores while the server is idle."""

from __future__ import annotations

import hashlib
import statistics
import time

from bench import cores

WORK = bytes(4 << 20)
TRIES = 12
# The speed that all windows of a campaign are held to is looked at for a while: what a virtual machine gets changes
# by some percent from second to second.
LOOKS, APART_S = 9, 0.25


def seconds(on: tuple[int, ...]) -> float:
    """
    Seconds to hash 4 MiB on these cores, the best of twelve: what disturbs a try can only make it slower.

    The calling thread moves there for as long as it takes (about 50 ms).
    """
    with cores.pinned(on):
        return min(_once() for _ in range(TRIES))


def usual_seconds(on: tuple[int, ...]) -> float:
    """Seconds that the same takes as a rule: the median of nine looks within two and a half seconds."""
    looks = []
    for _ in range(LOOKS):
        time.sleep(APART_S)  # also lets what ran before end
        looks.append(seconds(on))
    return statistics.median(looks)


def _once() -> float:
    start = time.perf_counter()
    hashlib.sha256(WORK).digest()
    return time.perf_counter() - start
