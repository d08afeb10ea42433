"""Return unused memory to the operating system. The functions of malloc need glibc, and do nothing without it."""

from __future__ import annotations

import asyncio
import ctypes
import gc
from pathlib import Path

_libc = ctypes.CDLL(None)
# mallopt(3). Blocks up to 32 MiB come from the heap, since an mmap per tensor is slow. Free memory over 8 MiB at the
# end of the heap is returned.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
MOST_FREE_BYTES, MMAP_BYTES = 8 << 20, 32 << 20
TRIM_EVERY_S = 5.0
# madvise(2).
MADV_DONTNEED = 4
_MAPS = Path("/proc/self/maps")


def tune_malloc(arenas: int) -> None:
    """
    Limit malloc to `arenas` arenas, and to little free memory. Call it before the first thread starts.

    By default each thread gets an arena, which keeps up to 64 MB of the thread's peak.
    """
    mallopt = getattr(_libc, "mallopt", None)
    if mallopt is not None:
        mallopt(M_ARENA_MAX, arenas)
        mallopt(M_MMAP_THRESHOLD, MMAP_BYTES)
        mallopt(M_TRIM_THRESHOLD, MOST_FREE_BYTES)


def settle() -> None:
    """
    Exclude all present objects from garbage collection. Call it once a process has loaded what it keeps.

    A full collection over them would stop the process for longer than a query takes.
    """
    gc.freeze()


def give_back() -> None:
    """Collect all garbage, then trim. It takes tens of milliseconds."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    trim()


def trim() -> None:
    """Return the free pages of the whole heap. By itself malloc returns only those at its end."""
    malloc_trim = getattr(_libc, "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


async def keep_trimmed() -> None:
    """
    Trim every TRIM_EVERY_S until cancelled. A trim takes less time than a query.

    Freed memory is fragmented, so glibc does not return it by itself. Trim on a timer, because a loaded server never
    becomes idle.
    """
    while True:
        await asyncio.sleep(TRIM_EVERY_S)
        await asyncio.to_thread(trim)


def unmap_pages(folder: Path, *, written_only: bool = False) -> None:
    """
    Drop the pages of the mapped files below `folder` from this process. `written_only`: of writable mappings only.

    No data is lost, because the pages stay in the page cache, modified ones too. The next read maps a page again. No
    other thread may map or unmap these files meanwhile.
    """
    madvise = getattr(_libc, "madvise", None)
    if madvise is None or not _MAPS.is_file():
        return
    prefix = f"{folder.absolute()}/"
    for line in _MAPS.read_text().splitlines():
        # A line: 7f00-7f01 rw-s 00000000 fe:00 1234    /data/vectors/...
        # Only a shared mapping (s) keeps modified pages in the page cache.
        match line.split(maxsplit=5):
            case [addresses, mode, _, _, _, path] if mode.endswith("s") and path.startswith(prefix):
                if "w" in mode or not written_only:
                    first, end = (int(address, 16) for address in addresses.split("-"))
                    madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), MADV_DONTNEED)
