"""Percentiles as order statistics, each with its minimum number of samples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FLOORS: dict[float, int] = {50: 10, 95: 130, 99: 662, 99.9: 6636}
HEADLINE_FLOOR = FLOORS[99]


def percentile(ordered: NDArray[np.int64], percent: float) -> int | None:
    """
    Return the nearest-rank percentile of `ordered`, which is ascending, without interpolation.

    None below the floor of `percent` in FLOORS, because fewer samples say little about the tail.
    """
    if len(ordered) < FLOORS[percent]:
        return None
    rank = -(-round(percent * 10) * len(ordered) // 1000)  # integers, because 0.999 * 1000 is not 999 in floats
    return int(ordered[rank - 1])


def median(values: Sequence[float]) -> float | None:
    """Return the median; None for an empty sequence."""
    return float(np.median(values)) if len(values) else None
