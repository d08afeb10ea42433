"""The maintenance of a job queue beside its work: its size is measured, and what was deleted is erased."""

from __future__ import annotations

import asyncio
import logging
import time

from gateways.core.jobs.base import JobQueue
from gateways.core.observability import metrics

log = logging.getLogger(__name__)

MEASURE_EVERY_S = 60.0
COMPACT_EVERY_S = 3_600.0


async def maintain(jobs: JobQueue) -> None:
    """Measure the journal each minute, and compact it each hour, until cancelled. Errors are logged."""
    compacted_s = time.monotonic()
    while True:
        try:
            metrics.journal_bytes.set(await jobs.size_bytes())
            if time.monotonic() - compacted_s >= COMPACT_EVERY_S:
                compacted_s = time.monotonic()
                if erased := await jobs.compact():
                    log.info("%d documents that were deleted or replaced are erased from the journal", erased)
        except Exception as error:
            # The journal works without: the next round tries again.
            log.warning("the journal was not maintained: %s", error)
        await asyncio.sleep(MEASURE_EVERY_S)
