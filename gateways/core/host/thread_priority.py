"""Low-priority threads for background work."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

# At nice 10 the scheduler gives this thread a ninth of the CPU time of a thread at 0, and preempts it.
NICE = 10


def be_nice() -> None:
    """Lower the priority of the current thread by NICE. Linux only: elsewhere nice is set per process."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICE)


_executor = ThreadPoolExecutor(1, "background", be_nice)


async def in_background(work: Callable[..., T], *values: Any) -> T:
    """Return `work(*values)`, run in the one background thread. Calls run in FIFO order."""
    return await asyncio.get_running_loop().run_in_executor(_executor, work, *values)
