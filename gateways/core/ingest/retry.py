"""Retries of calls that fail for a transient reason: a model, a store or a journal that is away."""

from __future__ import annotations

import asyncio
import logging
import math
import random
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
    call: Callable[[], Awaitable[T]],
    before_wait: Callable[[], Awaitable[None]],
    draw: Callable[[], float] = random.random,
    *,
    patience_s: float = math.inf,
) -> T:
    """
    Return the result of `call`, which is repeated with exponential backoff while it raises a transient error.

    `before_wait` runs before each wait; its transient errors are ignored. `draw` returns a number in [0, 1) for equal
    jitter: a wait is between half of the backoff and all of it. After `patience_s` an error is raised, unless it is
    Overloaded: who comes back has not lost a place in the queue.
    """
    backoff_s = RETRY_FIRST_S
    give_up_s = time.monotonic() + patience_s
    while True:
        try:
            return await call()
        except TRANSIENT as error:
            if not isinstance(error, Overloaded) and time.monotonic() + backoff_s > give_up_s:
                raise
            wait_s = backoff_s * (1 + draw()) / 2
            log.warning("ingest retries in %.2f s: %s", wait_s, error)
            with suppress(*TRANSIENT):
                await before_wait()
            await asyncio.sleep(wait_s)
            backoff_s = min(2 * backoff_s, RETRY_MAX_S)
