"""What may be said of a ratio: faster, slower, equivalent or inconclusive."""

from __future__ import annotations

from bench.statistics.bootstrap import Interval

EQUIVALENT = 0.05


def word(ratio: float, bounds: Interval | None, noise: float | None = None, *, lower_is_better: bool = False) -> str:
    """
    The word that a ratio to the baseline and its interval earn.

    Equivalent only with the interval inside ±5 %; faster or slower only when it clears `noise`, the A/A band around
    1, on the ratio's own side (without a twin that band is not known, and ±5 % stands for it); else inconclusive, as
    is every ratio without an interval. With `lower_is_better` (times, costs) a smaller ratio is faster.
    """
    if bounds is None:
        return "inconclusive"
    low, high = bounds
    if low >= 1 - EQUIVALENT and high <= 1 + EQUIVALENT:
        return "equivalent"
    band = 1 + (EQUIVALENT if noise is None else noise)
    if low <= band and high >= 1 / band:
        return "inconclusive"
    return "faster" if (ratio < 1) is lower_is_better else "slower"
