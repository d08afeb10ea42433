"""
Confidence intervals by a hierarchical bootstrap, which resamples blocks, then the replicates within each block.

All values are logarithms, so the statistic is the geometric mean over blocks of the geometric mean over replicates.
The interval of an inverse ratio is then the inverse interval. The interval is Student's t with the standard error of
the bootstrap, widened by sqrt(n / (n - 1)), because resamples of n are too narrow by that factor (Hesterberg 2015,
"What teachers should know about the bootstrap", The American Statistician 69). A percentile interval never leaves the
range of the blocks, and the range of three blocks misses the truth one time in four. The mean of a block already
includes the noise of its replicates, so resampling both would count that noise twice. The two are therefore weighted
to vary together as the blocks do (after Davison and Hinkley 1997, section 3.8).
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

RESAMPLES = 10_000
CONFIDENCE = 0.95
MIN_UNITS = 3


def interval(blocks: Sequence[Block], seed: int = 0) -> Interval | None:
    """
    Return the 95 % interval of the geometric mean over blocks.

    For a single block it is the interval over its replicates. Returns None below three blocks, or below three
    replicates of a single block, or if a number is not positive. Up to six blocks the interval always includes the
    median, because a median is within one standard deviation of the mean.
    """
    if not _are_positive(blocks):
        return None
    units = _list_units(_take_logs(blocks))
    means = _average_units(units)
    return _build_interval(float(means.mean()), _resample(means, [units], np.random.default_rng(seed)), len(units))


def paired_ratio(blocks: Sequence[Block], baseline: Sequence[Block], seed: int = 0) -> tuple[float, Interval | None]:
    """
    Return the geometric mean of the ratios of paired blocks, with its 95 % interval.

    Both sequences have the same order of blocks. A resample takes both sides of a block, so a disturbance of a whole
    block does not widen the interval. A single block is compared by `unpaired_ratio`. Raises ValueError for sequences
    of different lengths.
    """
    if len(blocks) != len(baseline):
        raise ValueError(f"pairs need as many blocks on both sides, not {len(blocks)} and {len(baseline)}")
    if len(blocks) == 1:
        return unpaired_ratio(blocks, baseline, seed)
    ours, theirs = _take_logs(blocks), _take_logs(baseline)
    ratios = _average_units(ours) - _average_units(theirs)
    draws = _resample(ratios, [ours, theirs], np.random.default_rng(seed))
    return float(np.exp(ratios.mean())), _build_interval(float(ratios.mean()), draws, len(ours))


def unpaired_ratio(
    blocks: Sequence[Block], baseline: Sequence[Block], seed: int = 0
) -> tuple[float, Interval | None]:
    """Return the ratio of the geometric means of two unpaired sets of blocks, with its 95 % interval."""
    ours, theirs, rng = (
        _list_units(_take_logs(blocks)),
        _list_units(_take_logs(baseline)),
        np.random.default_rng(seed),
    )
    means, their_means = _average_units(ours), _average_units(theirs)
    centre = float(means.mean() - their_means.mean())
    draws = _resample(means, [ours], rng) - _resample(their_means, [theirs], rng)
    return float(np.exp(centre)), _build_interval(centre, draws, min(len(ours), len(theirs)))


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


def spread(blocks: Sequence[Block]) -> float | None:
    """
    Return the coefficient of variation over blocks, or over the replicates of a single block.

    It is the sample standard deviation divided by the mean; None below two values.
    """
    if not _are_positive(blocks):
        return None
    values = np.exp(_average_units(_list_units(_take_logs(blocks))))
    return float(values.std(ddof=1) / values.mean()) if len(values) > 1 else None


def _are_positive(blocks: Sequence[Block]) -> bool:
    return bool(blocks) and all(bool((np.atleast_1d(np.asarray(block, float)) > 0).all()) for block in blocks)


def _take_logs(blocks: Sequence[Block]) -> list[F64]:
    return [np.log(np.atleast_1d(np.asarray(block, float))) for block in blocks]


def _list_units(logs: list[F64]) -> list[F64]:
    """Return the units of the first resampling: the blocks, or the replicates of a single block."""
    return [np.array([value]) for value in logs[0]] if len(logs) == 1 else logs


def _average_units(units: list[F64]) -> F64:
    return np.array([unit.mean() for unit in units])


def _resample(effects: F64, sides: Sequence[list[F64]], rng: np.random.Generator) -> F64:
    """
    Return resampled means, (resamples,), of the blocks' effects, (n,), with the noise of replicates of every side.

    An effect is the mean of a block on one side, or the difference of the means on two sides.
    """
    n = len(effects)
    picks = rng.integers(n, size=(RESAMPLES, n))
    if n == 1 or all(len(unit) == 1 for side in sides for unit in side):
        return np.asarray(effects[picks].mean(axis=1))
    centre, between = effects.mean(), effects.var()
    within = sum(float(np.mean([unit.var() / len(unit) for unit in side])) for side in sides)
    share = min(1.0, within / between) if between else 1.0
    noise = sum(
        _resample_noise(side, picks, rng) for side in sides
    )  # the sign does not matter, only the spread is used
    blocks = np.sqrt(1 - share) * (effects[picks] - centre).mean(axis=1)
    return np.asarray(centre + blocks + np.sqrt(share * between / within) * noise)


def _resample_noise(units: list[F64], picks: NDArray[np.int64], rng: np.random.Generator) -> F64:
    """Return means, (resamples,), of replicates drawn within each picked unit, minus the mean of the unit."""
    counts = np.array([len(unit) for unit in units])
    widest = int(counts.max())
    padded = np.array([np.pad(unit - unit.mean(), (0, widest - len(unit))) for unit in units])
    own = counts[picks][..., None]
    within = (rng.random((*picks.shape, widest)) * own).astype(np.int64)
    drawn = np.where(np.arange(widest) < own, padded[picks[..., None], within], 0.0)
    return np.asarray((drawn.sum(axis=2) / own[..., 0]).mean(axis=1))


def _build_interval(centre: float, draws: F64, units: int) -> Interval | None:
    if units < MIN_UNITS:
        return None
    half = _quantile_t(units - 1) * float(draws.std()) * np.sqrt(units / (units - 1))
    return float(np.exp(centre - half)), float(np.exp(centre + half))


def _quantile_t(freedom: int) -> float:
    """Return the two-sided quantile of Student's t at CONFIDENCE."""
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
