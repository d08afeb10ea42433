"""Calls that may kill an embed service: how often each of them broke a connection lately."""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable

# Rolling restarts break a call once. A call that breaks again within this time probably kills its service.
MEMORY_S = 600.0
MAX_CALLS = 1_024


class CrashLog:
    """
    The number of crashes of each call, for `MEMORY_S` after the last one.

    A call is bytes that are equal when it is made again. A digest of them is kept, of the last `MAX_CALLS` calls. The
    log is false while it is empty.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._crashes: OrderedDict[bytes, tuple[int, float]] = OrderedDict()

    def __bool__(self) -> bool:
        return bool(self._crashes)

    def record(self, call: bytes) -> int:
        """Count a crash of a call. Returns the number of its crashes."""
        count = self.count(call) + 1
        self._crashes[_digest(call)] = count, self._clock()
        self._crashes.move_to_end(_digest(call))
        if len(self._crashes) > MAX_CALLS:
            self._crashes.popitem(last=False)
        return count

    def count(self, call: bytes) -> int:
        """Return the number of crashes of a call."""
        count, last_s = self._crashes.get(_digest(call), (0, 0.0))
        return count if self._clock() - last_s < MEMORY_S else 0

    def forget(self, call: bytes) -> None:
        """Forget the crashes of a call that was answered."""
        self._crashes.pop(_digest(call), None)


def _digest(call: bytes) -> bytes:
    return hashlib.blake2b(call, digest_size=16).digest()
