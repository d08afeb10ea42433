"""Memory that was needed for a while, and how little of it a process keeps. glibc only; elsewhere nothing happens."""

from __future__ import annotations

import ctypes
import gc

_libc = ctypes.CDLL(None)
M_ARENA_MAX = -8  # mallopt(3)


def limit_arenas(arenas: int) -> None:
    """
    Let all threads share so many malloc arenas; to be called before there are threads.

    By default each thread gets one, and each keeps the most that it ever needed.
    """
    mallopt = getattr(_libc, "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, arenas)


def give_back() -> None:
    """Collect what nothing refers to any more, and let malloc return its free pages. Milliseconds."""
    gc.collect()
    trim = getattr(_libc, "malloc_trim", None)
    if trim is not None:
        trim(0)
