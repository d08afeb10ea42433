"""Percentiles as order statistics, each only above the number of samples it needs."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FLOORS: dict[float, int] = {50: 10, 95: 130, 99: 662, 99.9: 6636}
HEADLINE_FLOOR = FLOORS[99]


def percentile(ordered: NDArray[np.int64], percent: float) -> int | None:
    """
    The smallest sample that at least `percent` % of the samples do not exceed (nearest rank), never interpolated.

    None below the floor: with fewer samples the value says little about the tail. `ordered` is ascending.
    """
    if len(ordered) < FLOORS[percent]:
        return None
    rank = -(-round(percent * 10) * len(ordered) // 1000)  # in whole numbers: 0.999 * 1000 is not 999 in floats
    return int(ordered[rank - 1])


def median(values: Sequence[float]) -> float | None:
    """The median; None of nothing."""
    return float(np.median(values)) if len(values) else None
