"""The size of DATA_DIR in the metrics."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

from gateways.core.observability import metrics
from gateways.core.persistence.data_dir import size_bytes
from gateways.core.persistence.size_measurement import measure_size


def read_gauge() -> float | None:
    """Return the size that a scrape would tell."""
    return metrics.registry.get_sample_value("gateway_data_bytes")


async def measure_once(folder: Path, size: int) -> None:
    """Run the measurement until it has found a size."""
    measurement = asyncio.create_task(measure_size(folder))
    deadline_s = time.monotonic() + 30
    while read_gauge() != size and time.monotonic() < deadline_s:  # noqa: ASYNC110 a gauge has no event
        await asyncio.sleep(0.01)
    measurement.cancel()


def test_a_scrape_does_not_walk_the_folder(tmp_path: Path) -> None:
    """The size is measured in the background, and a scrape tells the last measurement."""
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    size = size_bytes(tmp_path)

    asyncio.run(measure_once(tmp_path, size))
    (tmp_path / "file").unlink()

    assert read_gauge() == size > 0
