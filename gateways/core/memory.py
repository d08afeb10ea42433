"""Memory that was needed for a while, handed back to the system."""

from __future__ import annotations

import ctypes
import gc


def give_back() -> None:
    """Collect what nothing refers to any more, and let malloc return its free pages (glibc only). Milliseconds."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
