"""
Confidence intervals over blocks: Student's t on logarithms.

The statistic is the geometric mean over blocks of the geometric mean over a block's replicates. On logarithms the
interval of an inverse ratio is the inverse interval. Replicates of a block vary together with it, so the blocks are
the units, and their means already include the noise of replicates. The range of three blocks misses the truth one
time in four, so an interval may leave the range of the blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

F64 = NDArray[np.float64]
Interval = tuple[float, float]
Block = float | Sequence[float]
"""The result of one block: a number, or the numbers of its replicates."""

CONFIDENCE = 0.95
MIN_UNITS = 3


def interval(blocks: Sequence[Block]) -> Interval | None:
    """
    Return the 95 % interval of the geometric mean over blocks.

    For a single block it is the interval over its replicates. Returns None below three blocks, or below three
    replicates of a single block, or if a number is not positive. Up to six blocks the interval always includes the
    median, because a median is within one standard deviation of the mean.
    """
    if not _are_positive(blocks):
        return None
    means = _average_units(blocks)
    return _build_interval(float(means.mean()), _square_error(means), len(means))


def paired_ratio(blocks: Sequence[Block], baseline: Sequence[Block]) -> tuple[float, Interval | None]:
    """
    Return the geometric mean of the ratios of paired blocks, with its 95 % interval.

    Both sequences have the same order of blocks. A disturbance of a whole block does not widen the interval. A single
    block is compared by `unpaired_ratio`. Raises ValueError for sequences of different lengths.
    """
    if len(blocks) != len(baseline):
        raise ValueError(f"pairs need as many blocks on both sides, not {len(blocks)} and {len(baseline)}")
    if len(blocks) == 1:
        return unpaired_ratio(blocks, baseline)
    ratios = _average_units(blocks) - _average_units(baseline)
    centre = float(ratios.mean())
    return float(np.exp(centre)), _build_interval(centre, _square_error(ratios), len(ratios))


def unpaired_ratio(blocks: Sequence[Block], baseline: Sequence[Block]) -> tuple[float, Interval | None]:
    """Return the ratio of the geometric means of two unpaired sets of blocks, with its 95 % interval (Welch)."""
    ours, theirs = _average_units(blocks), _average_units(baseline)
    centre = float(ours.mean() - theirs.mean())
    square_error = _square_error(ours) + _square_error(theirs)
    return float(np.exp(centre)), _build_interval(centre, square_error, min(len(ours), len(theirs)))


def reach(strays: Sequence[Sequence[float]], blocks: int) -> float | None:
    """
    Return the half-width of the A/A band around 1: the ratio of two equal targets over `blocks` blocks, at 95 %.

    `strays` are the ratios of a target to its own twin by block, one sequence for each cell. The standard deviation
    of a few blocks is uncertain, so it is pooled over all cells, on logarithms. The mean ratio is added, because more
    blocks do not reduce it. With one block a cell the band is the largest deviation. Returns None without ratios.
    """
    logs = [np.log(np.asarray(cell, float)) for cell in strays if len(cell)]
    if not logs:
        return None
    pooled = np.concatenate(logs)
    freedom = len(pooled) - len(logs)
    if freedom == 0:
        return float(np.expm1(np.abs(pooled).max()))
    deviation = np.sqrt(sum(float(((cell - cell.mean()) ** 2).sum()) for cell in logs) / freedom)
    return float(np.expm1(abs(pooled.mean()) + _quantile_t(freedom) * deviation / np.sqrt(blocks)))


def widen(ratio: float, bounds: Interval | None, noise: float | None) -> Interval | None:
    """
    Return the interval of a ratio with the A/A band `noise` in it: the half-widths add as squares, on logarithms.

    The spread of a few blocks is sometimes small by luck. That of a target against itself, pooled over all cells, is
    then the better witness. Without a twin or an interval the bounds are returned as they are.
    """
    if bounds is None or noise is None:
        return bounds
    low, high = (float(np.hypot(np.log(bound / ratio), np.log1p(noise))) for bound in bounds)
    return float(ratio * np.exp(-low)), float(ratio * np.exp(high))


def spread(blocks: Sequence[Block]) -> float | None:
    """
    Return the coefficient of variation over blocks, or over the replicates of a single block.

    It is the sample standard deviation divided by the mean; None below two values.
    """
    if not _are_positive(blocks):
        return None
    values = np.exp(_average_units(blocks))
    return float(values.std(ddof=1) / values.mean()) if len(values) > 1 else None


def _are_positive(blocks: Sequence[Block]) -> bool:
    return bool(blocks) and all(bool((np.atleast_1d(np.asarray(block, float)) > 0).all()) for block in blocks)


def _average_units(blocks: Sequence[Block]) -> F64:
    """Return the mean logarithm of each unit, (units,): of each block, or each replicate of a single block."""
    logs = [np.log(np.atleast_1d(np.asarray(block, float))) for block in blocks]
    return logs[0] if len(logs) == 1 else np.array([values.mean() for values in logs])


def _square_error(units: F64) -> float:
    """Return the squared standard error of the mean; not a number for one unit."""
    return float(units.var(ddof=1)) / len(units) if len(units) > 1 else float("nan")


def _build_interval(centre: float, square_error: float, units: int) -> Interval | None:
    if units < MIN_UNITS:
        return None
    half = _quantile_t(units - 1) * float(np.sqrt(square_error))
    return float(np.exp(centre - half)), float(np.exp(centre + half))


def _quantile_t(freedom: int) -> float:
    """Return the two-sided quantile of Student's t at CONFIDENCE."""
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
