"""Memory that was needed for a while, and how little of it a process keeps. glibc only; elsewhere nothing happens."""

from __future__ import annotations

import ctypes
import gc

_libc = ctypes.CDLL(None)
# mallopt(3): which setting, and to what. The tensors of a pass come from the heap, not from the system one by one;
# what a long batch needed and a short one does not goes back when it is over 8 MiB.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
MOST_FREE_BYTES, MMAP_BYTES = 8 << 20, 32 << 20


def tune_malloc(arenas: int) -> None:
    """
    Keep little free memory, and let all threads share so many arenas; to be called before there are threads.

    By default each thread gets one, and each keeps the most that it ever needed, up to 64 MB of it.
    """
    mallopt = getattr(_libc, "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, arenas)
        mallopt(M_MMAP_THRESHOLD, MMAP_BYTES)
        mallopt(M_TRIM_THRESHOLD, MOST_FREE_BYTES)


def give_back() -> None:
    """Collect what nothing refers to any more, and let malloc return its free pages. Milliseconds."""
    gc.collect()
    trim = getattr(_libc, "malloc_trim", None)
    if trim is not None:
        trim(0)
