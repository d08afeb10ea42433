"""Two lanes to one model: queries, which somebody waits for, and bulk work, which gets the time that they leave."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence, Sized

from gateways.core import metrics
from gateways.core.backend import Lane, lane_of
from gateways.core.batcher import Batcher
from gateways.core.errors import Overloaded
from gateways.core.planning import PassCost
from gateways.core.settings import Settings
from gateways.core.tickets import Run, Ticket


class Lanes:
    """
    A batcher for each lane, with so many model threads of its own.

    Those of the bulk lane are nicer: a query does not wait for their pass to end, and while queries want all there is
    they still get about a tenth.
    """

    def __init__(self, settings: Settings, threads: int) -> None:
        waits_s: dict[Lane, float] = {
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
            )
            for lane, wait_s in waits_s.items()
        }

    def start(self) -> None:
        """Start the model threads, bound to the running loop."""
        for lane in self._lanes.values():
            lane.start()
        metrics.queue_tokens.set_function(lambda: sum(lane.waiting_tokens for lane in self._lanes.values()))

    async def close(self) -> None:
        """Let the threads finish what is queued, and join those that can be."""
        await asyncio.gather(*(lane.close() for lane in self._lanes.values()))

    def failure(self) -> str | None:
        """Return why inputs may not be encoded any more, None while all threads do their work."""
        return next((why for lane in self._lanes.values() if (why := lane.failure())), None)

    def refusal(self, within_s: float, before: int) -> Overloaded | None:
        """Return what a query that may take so long, behind so many tokens more, would be refused with now."""
        return self._lanes["interactive"].refusal(within_s=within_s, before=before)

    async def submit(self, run: Run, batch: Sequence[Sized], lane: Lane | None, cost: PassCost) -> Ticket:
        """Wait in a lane, by length where none is named, for the results of n inputs; raises as a Batcher does."""
        return await self._lanes[lane or lane_of(sum(map(len, batch)))].submit(run, batch, cost)
