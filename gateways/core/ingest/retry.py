"""Retries of calls that fail for a transient reason: a model, a store or a journal that is away."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from gateways.core.errors import BackendUnavailable, NoSpace, Overloaded, UpstreamFailed

log = logging.getLogger(__name__)
T = TypeVar("T")

RETRY_FIRST_S, RETRY_MAX_S = 0.25, 5.0
# Errors that pass by themselves. Nothing is wrong with the document or its job.
TRANSIENT = (BackendUnavailable, NoSpace, Overloaded, UpstreamFailed)
# Errors of the operating system, such as too many open files, an unreadable disk, or no memory.
SYSTEM_ERRORS = (OSError, MemoryError)


async def do_nothing() -> None:
    """Return at once."""


async def retry_transient(
    call: Callable[[], Awaitable[T]], before_wait: Callable[[], Awaitable[None]], patience_s: float = math.inf
) -> T:
    """
    Return the result of `call`, which is repeated with exponential backoff while it raises a transient error.

    `before_wait` runs before each wait; its transient errors are ignored. After `patience_s` an error is raised,
    unless it is Overloaded: who comes back has not lost a place in the queue.
    """
    wait_s = RETRY_FIRST_S
    give_up_s = time.monotonic() + patience_s
    while True:
        try:
            return await call()
        except TRANSIENT as error:
            if not isinstance(error, Overloaded) and time.monotonic() + wait_s > give_up_s:
                raise
            log.warning("ingest retries in %.2f s: %s", wait_s, error)
            with suppress(*TRANSIENT):
                await before_wait()
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_MAX_S)
