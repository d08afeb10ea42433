"""Percentiles as order statistics above their floors, and ratios with intervals that are paired by block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FLOORS: dict[float, int] = {50: 10, 95: 130, 99: 662, 99.9: 6636}
HEADLINE_FLOOR = FLOORS[99]
EQUIVALENT = 0.05
RESAMPLES = 10_000


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


def interval(values: Sequence[float], seed: int = 0) -> tuple[float, float] | None:
    """95 % bootstrap interval of the median over replicates; None below three (Efron and Tibshirani 1993, ch. 13)."""
    if len(values) < 3:
        return None
    draws = np.random.default_rng(seed).choice(np.asarray(values, float), size=(RESAMPLES, len(values)))
    low, high = np.percentile(np.median(draws, axis=1), [2.5, 97.5])
    return float(low), float(high)


def paired_ratio(values: Sequence[float], baseline: Sequence[float]) -> tuple[float, tuple[float, float] | None]:
    """Median of the ratios block by block, with its interval; the two sequences are in the same order of blocks."""
    ratios = [value / base for value, base in zip(values, baseline, strict=True)]
    return float(np.median(ratios)), interval(ratios)


def word(ratio: float, bounds: tuple[float, float] | None, noise: float = 0.0) -> str:
    """
    Faster, slower, equivalent or inconclusive.

    With an interval: equivalent inside ±5 %, faster or slower only when it clears the A/A noise band. Without one
    nothing is proved: the word is that of the point alone, and within ±5 % it is inconclusive.
    """
    if bounds is None:
        if abs(ratio - 1) <= EQUIVALENT:
            return "inconclusive"
        return "faster" if ratio > 1 else "slower"
    low, high = bounds
    if low >= 1 - EQUIVALENT and high <= 1 + EQUIVALENT:
        return "equivalent"
    if low > 1 + noise:
        return "faster"
    return "slower" if high < 1 - noise else "inconclusive"
