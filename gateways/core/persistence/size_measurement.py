"""The size of DATA_DIR, measured beside the requests: a scrape of the metrics walks no folder."""

from __future__ import annotations

import asyncio
from pathlib import Path

from gateways.core.observability import metrics
from gateways.core.persistence import data_dir

MEASURE_EVERY_S = 60.0


async def measure_size(folder: Path) -> None:
    """Measure the folder in a thread each minute, until cancelled."""
    while True:
        metrics.data_bytes.set(await asyncio.to_thread(data_dir.size_bytes, folder))
        await asyncio.sleep(MEASURE_EVERY_S)
