"""
Intervals from a hierarchical bootstrap: blocks are resampled first, then the replicates within each block drawn.

Everything is done on logarithms, so the statistic is the geometric mean over blocks (of the geometric mean over a
block's replicates): a ratio and its inverse then get the same interval, inverted. The interval is Student's t with
the bootstrap's standard error, widened by sqrt(n / (n - 1)) since resamples of n are too narrow by as much
(Hesterberg 2015, "What teachers should know about the bootstrap", The American Statistician 69). A percentile
interval, expanded or not, never leaves the range of the blocks, and of three blocks that range misses the truth one
time in four. A block's mean already holds the noise of its replicates, so drawing those as well would count it twice:
the two are weighed so that together they spread as the blocks do (after Davison and Hinkley 1997, section 3.8).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

F64 = NDArray[np.float64]
Interval = tuple[float, float]
Block = float | Sequence[float]
"""What one block gave: a number, or the numbers of its replicates."""

RESAMPLES = 10_000
CONFIDENCE = 0.95
MIN_UNITS = 3


def interval(blocks: Sequence[Block], seed: int = 0) -> Interval | None:
    """
    95 % interval of the geometric mean over blocks.

    One block alone is taken for its replicates, which then say nothing of other blocks. None below three blocks (or
    replicates of the one), and where a number is not positive and so has no logarithm. It is not the interval of the
    median, but up to six blocks it always holds it: a median is within one standard deviation of the mean.
    """
    if not _positive(blocks):
        return None
    units = _units(_logs(blocks))
    means = _means(units)
    return _around(float(means.mean()), _draws(means, [units], np.random.default_rng(seed)), len(units))


def paired_ratio(blocks: Sequence[Block], baseline: Sequence[Block], seed: int = 0) -> tuple[float, Interval | None]:
    """
    Geometric mean of the ratios block by block, with its 95 % interval; both are in the same order of blocks.

    A resample takes a block of both together, so what slows a whole block leaves the interval as it is. One block
    alone has pairs of nothing: its replicates are compared as `unpaired_ratio` does.
    """
    if len(blocks) != len(baseline):
        raise ValueError(f"pairs need as many blocks on both sides, not {len(blocks)} and {len(baseline)}")
    if len(blocks) == 1:
        return unpaired_ratio(blocks, baseline, seed)
    ours, theirs = _logs(blocks), _logs(baseline)
    ratios = _means(ours) - _means(theirs)
    draws = _draws(ratios, [ours, theirs], np.random.default_rng(seed))
    return float(np.exp(ratios.mean())), _around(float(ratios.mean()), draws, len(ours))


def unpaired_ratio(
    blocks: Sequence[Block], baseline: Sequence[Block], seed: int = 0
) -> tuple[float, Interval | None]:
    """Ratio of the geometric means of two sets of blocks that have nothing in common, with its 95 % interval."""
    ours, theirs, rng = _units(_logs(blocks)), _units(_logs(baseline)), np.random.default_rng(seed)
    means, others = _means(ours), _means(theirs)
    centre = float(means.mean() - others.mean())
    draws = _draws(means, [ours], rng) - _draws(others, [theirs], rng)
    return float(np.exp(centre)), _around(centre, draws, min(len(ours), len(theirs)))


def reach(strays: Sequence[Sequence[float]], blocks: int) -> float | None:
    """
    The A/A band: how far from 1 the ratio of two equals over so many blocks strays, at 95 %; None without a stray.

    `strays` are the ratios of a target to its own twin, block by block, one sequence for each cell. The spread of one
    cell's few blocks is too uncertain to be held against others, so it is pooled over all the cells (on logarithms),
    and the mean stray, which no number of blocks makes smaller, is added. With one block a cell there is no spread to
    pool: the band is the worst stray.
    """
    logs = [np.log(np.asarray(cell, float)) for cell in strays if len(cell)]
    if not logs:
        return None
    every = np.concatenate(logs)
    freedom = len(every) - len(logs)
    if freedom == 0:
        return float(np.expm1(np.abs(every).max()))
    spread = np.sqrt(sum(float(((cell - cell.mean()) ** 2).sum()) for cell in logs) / freedom)
    return float(np.expm1(abs(every.mean()) + _t(freedom) * spread / np.sqrt(blocks)))


def spread(blocks: Sequence[Block]) -> float | None:
    """
    Coefficient of variation over blocks, or over the replicates of a single block; None with fewer than two.

    The sample standard deviation over the mean.
    """
    if not _positive(blocks):
        return None
    values = np.exp(_means(_units(_logs(blocks))))
    return float(values.std(ddof=1) / values.mean()) if len(values) > 1 else None


def _positive(blocks: Sequence[Block]) -> bool:
    return bool(blocks) and all(bool((np.atleast_1d(np.asarray(block, float)) > 0).all()) for block in blocks)


def _logs(blocks: Sequence[Block]) -> list[F64]:
    return [np.log(np.atleast_1d(np.asarray(block, float))) for block in blocks]


def _units(logs: list[F64]) -> list[F64]:
    """What is resampled first: the blocks, or the replicates where there is one block only."""
    return [np.array([value]) for value in logs[0]] if len(logs) == 1 else logs


def _means(units: list[F64]) -> F64:
    return np.array([unit.mean() for unit in units])


def _draws(effects: F64, sides: Sequence[list[F64]], rng: np.random.Generator) -> F64:
    """
    Resampled means of the blocks' effects (n,), with the noise of the replicates on every side: (resamples,).

    An effect is a block's mean on one side, or the difference of its means on two.
    """
    n = len(effects)
    picks = rng.integers(n, size=(RESAMPLES, n))
    if n == 1 or all(len(unit) == 1 for side in sides for unit in side):
        return np.asarray(effects[picks].mean(axis=1))
    centre, between = effects.mean(), effects.var()
    within = sum(float(np.mean([unit.var() / len(unit) for unit in side])) for side in sides)
    share = min(1.0, within / between) if between else 1.0
    noise = sum(_noise(side, picks, rng) for side in sides)  # its sign is no matter: only its spread is used
    blocks = np.sqrt(1 - share) * (effects[picks] - centre).mean(axis=1)
    return np.asarray(centre + blocks + np.sqrt(share * between / within) * noise)


def _noise(units: list[F64], picks: NDArray[np.int64], rng: np.random.Generator) -> F64:
    """Means of replicates drawn within each picked unit, less the unit's own mean, over the units: (resamples,)."""
    counts = np.array([len(unit) for unit in units])
    widest = int(counts.max())
    padded = np.array([np.pad(unit - unit.mean(), (0, widest - len(unit))) for unit in units])
    own = counts[picks][..., None]
    within = (rng.random((*picks.shape, widest)) * own).astype(np.int64)
    drawn = np.where(np.arange(widest) < own, padded[picks[..., None], within], 0.0)
    return np.asarray((drawn.sum(axis=2) / own[..., 0]).mean(axis=1))


def _around(centre: float, draws: F64, units: int) -> Interval | None:
    if units < MIN_UNITS:
        return None
    half = _t(units - 1) * float(draws.std()) * np.sqrt(units / (units - 1))
    return float(np.exp(centre - half)), float(np.exp(centre + half))


def _t(freedom: int) -> float:
    """Student's t that a share of CONFIDENCE lies within."""
    return float(stdtrit(freedom, (1 + CONFIDENCE) / 2))
