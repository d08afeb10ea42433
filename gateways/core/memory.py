"""Memory that was needed for a while, and how little of it a process keeps. glibc only; elsewhere nothing happens."""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

_libc = ctypes.CDLL(None)
# mallopt(3): which setting, and to what. The tensors of a pass come from the heap, not from the system one by one;
# what a long batch needed and a short one does not goes back when it is over 8 MiB.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_ARENA_MAX = -1, -3, -8
MOST_FREE_BYTES, MMAP_BYTES = 8 << 20, 32 << 20
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


def give_back() -> None:
    """Collect what nothing refers to any more, and let malloc return its free pages. Tens of milliseconds."""
    gc.collect()
    trim()


def trim() -> None:
    """Let malloc return its free pages, wherever they are: by itself it returns those at the end of its heap only."""
    malloc_trim = getattr(_libc, "malloc_trim", None)
    if malloc_trim is not None:
        malloc_trim(0)


def unmap_pages(folder: Path, part: str = "") -> None:
    """
    Keep no page of a folder's mapped files, of those with `part` in their path; what is needed comes back when read.

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
                if part in path:
                    first, end = (int(address, 16) for address in addresses.split("-"))
                    madvise(ctypes.c_void_p(first), ctypes.c_size_t(end - first), MADV_DONTNEED)
