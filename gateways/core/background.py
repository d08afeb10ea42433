"""Work that nobody waits for, in threads that let all others go first."""

from __future__ import annotations

import asyncio
import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")

# Other threads get nine times the time of one that is so nice, and need not wait until it is done.
NICE = 10


def be_nice() -> None:
    """Let all other threads go before this one, where the system tells the threads of a process apart."""
    if sys.platform == "linux":
        thread = threading.get_native_id()
        os.setpriority(os.PRIO_PROCESS, thread, os.getpriority(os.PRIO_PROCESS, thread) + NICE)


_executor = ThreadPoolExecutor(1, "background", be_nice)


async def in_background(work: Callable[..., T], *values: Any) -> T:
    """Return what `work` makes of these values, in a thread that takes one after the other."""
    return await asyncio.get_running_loop().run_in_executor(_executor, work, *values)
