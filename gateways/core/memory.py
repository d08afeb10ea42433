"""Memory that was needed for a while, and how little of it a process keeps. glibc only; elsewhere nothing happens."""

from __future__ import annotations

import asyncio
import ctypes
import gc
from pathlib import Path

_libc = ctypes.CDLL(None)
# mallopt(3): which setting, and to what. The tensors of a pass come from the heap, not from the system one by one;
# what a long batch needed and a short one does not goes back when it is over 8 MiB.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
MOST_FREE_BYTES, MMAP_BYTES = 8 << 20, 32 << 20
TRIM_EVERY_S = 5.0
# madvise(2).
MADV_DONTNEED = 4
_MAPS = Path("/proc/self/maps")


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


def settle() -> None:
    """
    Never look for garbage again among what there is now: a process that is ready keeps what it has loaded.

    Each look at all of it would stop the process for longer than a query takes.
    """
    gc.freeze()


def give_back() -> None:
    """Collect what nothing refers to any more, wherever it is, and trim. Tens of milliseconds."""
    gc.unfreeze()
    gc.collect()
    gc.freeze()
    trim()


def trim() -> None:
    """Let malloc return its free pages, wherever they are: by itself it returns those at the end of its heap only."""
    malloc_trim = getattr(_libc, "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


async def keep_trimmed() -> None:
    """
    Trim every few seconds, until cancelled.

    That takes less than a query. What a pass or an ingest took and let go has holes, and would be kept for good: a
    server under load is never idle, and one that is idle has no reason to look.
    """
    while True:
        await asyncio.sleep(TRIM_EVERY_S)
        await asyncio.to_thread(trim)


def unmap_pages(folder: Path, *, written_only: bool = False) -> None:
    """
    Keep no page of a folder's mapped files, or of those mapped to write; what is needed comes back when read.

    Nothing is lost: the pages stay in the page cache, changed ones too. Nobody may map or unmap the files meanwhile.
    """
    madvise = getattr(_libc, "madvise", None)
    if madvise is None or not _MAPS.is_file():
        return
    within = f"{folder.absolute()}/"
    for line in _MAPS.read_text().splitlines():
        # 7f00-7f01 rw-s 00000000 fe:00 1234    /data/vectors/...; only a mapping that is shared loses nothing.
        match line.split(maxsplit=5):
            case [addresses, mode, _, _, _, path] if mode.endswith("s") and path.startswith(within):
                if "w" in mode or not written_only:
                    first, end = (int(address, 16) for address in addresses.split("-"))
                    madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), MADV_DONTNEED)
