"""Retries of calls that fail for a transient reason: a model, a store or a journal that is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from gateways.core.errors import BackendUnavailable, NoSpace, Overloaded, UpstreamFailed

log = logging.getLogger(__name__)
T = TypeVar("T")

RETRY_FIRST_S, RETRY_MAX_S = 0.25, 5.0
# Errors that pass by themselves. Nothing is wrong with the document or its job.
TRANSIENT = (BackendUnavailable, NoSpace, Overloaded, UpstreamFailed)


async def do_nothing() -> None:
    """Return at once."""


async def retry_transient(call: Callable[[], Awaitable[T]], before_wait: Callable[[], Awaitable[None]]) -> T:
    """
    Return the result of `call`, which is repeated with exponential backoff while it raises a transient error.

    `before_wait` runs before each wait; its transient errors are ignored.
    """
    wait_s = RETRY_FIRST_S
    while True:
        try:
            return await call()
        except TRANSIENT as error:
            log.warning("ingest retries in %.2f s: %s", wait_s, error)
            with suppress(*TRANSIENT):
                await before_wait()
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_MAX_S)
