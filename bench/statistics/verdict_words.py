"""The verdict of a ratio: faster, slower, equivalent or inconclusive."""

from __future__ import annotations

from bench.statistics.bootstrap import Interval

EQUIVALENT = 0.05


def word(ratio: float, bounds: Interval | None, noise: float | None = None, *, lower_is_better: bool = False) -> str:
    """
    Return the verdict of a ratio to the baseline with its interval `bounds`.

    It is "equivalent" if the interval is inside ±5 %. It is "faster" or "slower" if the interval is outside of the
    A/A band around 1, whose half-width is `noise`, or 5 % without a twin. Else, and without an interval, it is
    "inconclusive". With `lower_is_better`, for times and costs, a smaller ratio is faster.
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
