"""
Whether a p99 is within a limit, with what confidence, and where it lies: from the latencies of one window.

`bound` is LoadGen's early-stopping estimate (mlcommons/inference, loadgen/early_stopping.cc; MLPerf Inference rules,
"Early Stopping Criterion"). It supposes independent samples. Latencies of a queue are not: slow ones come together.
`interval` and `decide` therefore divide a window into batches and count as many samples as the spread between batches
leaves (batch means; Law, Simulation Modeling and Analysis, chapter 9).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.special import bdtr, betainc, betaincinv, stdtrit

from bench.statistics.percentiles import FLOORS, percentile

I64 = NDArray[np.int64]
Bools = NDArray[np.bool_]

SHARE = 0.01  # of the samples may be above the p99
CONFIDENCE = 0.99  # LoadGen's, and that of an early decision
# The nominal confidence that covers a known p99 in 95 % of windows: the spread of clusters is itself estimated.
NOMINAL = 0.985
BATCHES = 16
# The samples above the p99 are few. Those above lower percentiles come in the same clusters, and show them better.
THRESHOLDS = (90.0, 95.0, 99.0)
WIDENING = float(stdtrit(BATCHES - 1, 0.975) / stdtrit(1e9, 0.975))  # the spread of few batches is uncertain
MIN_OVER = 2  # effective samples above the p99, below which nothing bounds it from above


def samples_above(count: int) -> int | None:
    """
    Return the most of `count` samples that may lie above a value that is surely no less than the p99.

    It is the largest t with P(Binomial(count, 1 %) <= t) <= 1 %. None if not even t = 0 has that.
    """
    if bdtr(0, count, SHARE) > 1 - CONFIDENCE:
        return None
    most = int(count * SHARE)
    return max(t for t in range(most + 1) if bdtr(t, count, SHARE) <= 1 - CONFIDENCE)


def bound(ordered: I64) -> int | None:
    """Return LoadGen's estimate of the p99 from ascending samples, (n,); None below the floor of a p99."""
    above = samples_above(len(ordered))
    return None if above is None or len(ordered) < FLOORS[99] else int(ordered[len(ordered) - 1 - above])


def effective_size(over: Bools) -> float:
    """Return the number of independent samples with the spread of these, in order of arrival, (n,)."""
    length = len(over) // BATCHES
    share = over.mean() if length else 0.0
    independent = length * share * (1 - share)
    if not independent:
        return len(over) / WIDENING**2
    sums = over[: length * BATCHES].reshape(BATCHES, length).sum(axis=1)
    return len(over) / (max(1.0, float(sums.var(ddof=1)) / independent) * WIDENING**2)


def decide(over: Bools) -> bool | None:
    """Return whether the share above a limit is surely below 1 % (True) or above (False); None if it is neither."""
    size = effective_size(over)
    hits = size * float(over.mean()) if len(over) else 0.0
    if size > hits and 1 - betainc(hits + 1, size - hits, SHARE) <= 1 - CONFIDENCE:
        return True
    return False if hits and betainc(hits, size - hits + 1, SHARE) <= 1 - CONFIDENCE else None


def interval(latencies: I64) -> tuple[float, float] | None:
    """
    Return the 95 % interval of the p99 from latencies in order of arrival, (n,); None below the floor of a p99.

    The high end is infinite if too few independent samples lie above the p99 to bound it.
    """
    ordered = np.sort(latencies)
    if percentile(ordered, 99) is None:
        return None
    size = min(effective_size(latencies > np.percentile(ordered, percent)) for percent in THRESHOLDS)
    fewest, most = (_quantile_over(size, tail) for tail in ((1 - NOMINAL) / 2, (1 + NOMINAL) / 2))
    low = ordered[max(0, math.floor(len(ordered) * (1 - most)) - 1)]
    if size * SHARE < MIN_OVER:
        return float(low), math.inf
    return float(low), float(ordered[min(len(ordered), math.ceil(len(ordered) * (1 - fewest)) + 1) - 1])


def _quantile_over(size: float, tail: float) -> float:
    """Return the quantile of the share above the p99 among `size` independent samples: beta, with real counts."""
    hits = size * SHARE
    return float(betaincinv(hits + 0.5, size - hits + 0.5, tail))
