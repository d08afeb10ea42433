"""Two priority lanes to the models: interactive queries, and bulk work on the CPU time that queries leave."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence, Sized

from gateways.core.backend import Lane, PassCost, lane_of
from gateways.core.errors import Overloaded
from gateways.core.inference.batcher import Batcher
from gateways.core.inference.request_queue import QueuedRequest, Run
from gateways.core.observability import metrics
from gateways.core.settings import ModelSettings


class PriorityLanes:
    """
    A Batcher per lane, each with `threads` worker threads of its own.

    The bulk threads have a lower priority. A query therefore preempts a bulk pass, and bulk work still gets about a
    tenth of the CPU time while queries use all of it.
    """

    def __init__(self, settings: ModelSettings, threads: int, clock: Callable[[], float] = time.perf_counter) -> None:
        max_wait_s: dict[Lane, float] = {
            "interactive": settings.max_wait_ms / 1e3,
            "bulk": settings.max_bulk_wait_ms / 1e3,
        }
        self._lanes = {
            lane: Batcher(
                threads=threads,
                max_batch_tokens=settings.max_batch_tokens,
                max_queue_tokens=settings.max_queue_tokens,
                max_wait_s=wait_s,
                hang_s=settings.model_hang_s,
                background=lane == "bulk",
                clock=clock,
            )
            for lane, wait_s in max_wait_s.items()
        }

    def start(self) -> None:
        """Start the worker threads, bound to the running loop."""
        for lane in self._lanes.values():
            lane.start()
        metrics.queue_tokens.set_function(lambda: sum(lane.queued_tokens for lane in self._lanes.values()))

    async def close(self) -> None:
        """Refuse new requests, run what is queued, and join the threads that do not hang."""
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))

    def failure(self) -> str | None:
        """Return which worker thread hangs or died, None while all work."""
        return next((reason for lane in self._lanes.values() if (reason := lane.failure())), None)

    def refusal(self, within_s: float, before: int) -> Overloaded | None:
        """
        Return the error that refuses a query with a deadline of `within_s`, None if the query is admitted.

        `before` counts tokens that run before it and are not queued yet.
        """
        return self._lanes["interactive"].refusal(within_s=within_s, before=before)

    async def submit(self, run: Run, items: Sequence[Sized], lane: Lane | None, cost: PassCost) -> QueuedRequest:
        """Queue n inputs in a lane, or in the one for their length. Returns and raises as Batcher.submit does."""
        return await self._lanes[lane or lane_of(sum(map(len, items)))].submit(run, items, cost)
