"""The maintenance of a job queue beside its work: its size is held to a budget, and what was deleted is erased."""

from __future__ import annotations

import asyncio
import logging
import math
import time

from gateways.core.errors import NoSpace
from gateways.core.jobs.base import JobQueue
from gateways.core.observability import metrics

log = logging.getLogger(__name__)

MEASURE_EVERY_S = 60.0
COMPACT_EVERY_S = 3_600.0


class JournalMaintenance:
    """Measures the journal each minute, and compacts it each hour, or at once where it is over its budget."""

    def __init__(self, jobs: JobQueue, budget_bytes: float = math.inf) -> None:
        self._jobs = jobs
        self._budget_bytes = budget_bytes
        self._size_bytes = 0

    async def run(self) -> None:
        """Measure and compact until cancelled. Errors are logged."""
        compacted_s = time.monotonic()
        while True:
            try:
                await self._measure()
                if time.monotonic() - compacted_s >= COMPACT_EVERY_S or self._size_bytes > self._budget_bytes:
                    compacted_s = time.monotonic()
                    await self._compact()
            except Exception as error:
                # The journal works without: the next round tries again.
                log.warning("the journal was not maintained: %s", error)
            await asyncio.sleep(MEASURE_EVERY_S)

    def check_budget(self) -> None:
        """Raise NoSpace if the journal was over its budget at its last measurement."""
        if self._size_bytes > self._budget_bytes:
            raise NoSpace(
                f"the job journal has {self._size_bytes / 1e6:.0f} MB and MAX_JOURNAL_MB is "
                f"{self._budget_bytes / 1e6:.0f}: nothing was accepted; delete documents, and try again in a minute",
                code="journal_full",
                retry_after_s=math.ceil(MEASURE_EVERY_S),
            )

    async def _measure(self) -> None:
        self._size_bytes = await self._jobs.size_bytes()
        metrics.journal_bytes.set(self._size_bytes)

    async def _compact(self) -> None:
        if erased := await self._jobs.compact():
            log.info("%d documents that were deleted or replaced are erased from the journal", erased)
            await self._measure()
