"""The retries of ingest: their waits grow, and no two gateways retry in step."""

from __future__ import annotations

import asyncio

import pytest

from gateways.core.errors import BackendUnavailable
from gateways.core.ingest.retry import RETRY_FIRST_S, RETRY_MAX_S, do_nothing, retry_transient
from tests.support.clock import Loop, run_skipping


@pytest.mark.parametrize(("drawn", "share"), [(0.0, 0.5), (0.5, 0.75), (0.999, 0.9995)])
def test_each_wait_has_jitter(drawn: float, share: float) -> None:
    """A wait is between half of the backoff and all of it: gateways that lost one service come back one by one."""

    async def scenario(loop: Loop) -> list[float]:
        calls_s: list[float] = []

        async def call() -> None:
            calls_s.append(loop.time())
            raise BackendUnavailable("away")

        retrying = asyncio.create_task(retry_transient(call, do_nothing, lambda: drawn))
        await loop.skip(0)
        for n in range(7):
            backoff_s = min(RETRY_FIRST_S * 2**n, RETRY_MAX_S)
            await loop.skip(share * backoff_s - 0.001)
            assert len(calls_s) == n + 1
            await loop.skip(0.002)
            assert len(calls_s) == n + 2
        retrying.cancel()
        return calls_s

    run_skipping(scenario)
