"""The verdict of a ratio: faster, slower, equivalent or inconclusive."""

from __future__ import annotations

from bench.statistics.intervals import Interval

EQUIVALENT = 0.05


def word(ratio: float, bounds: Interval | None, *, twin: bool = False, lower_is_better: bool = False) -> str:
    """
    Return the verdict of a ratio to the baseline with its interval `bounds`.

    It is "equivalent" if the interval is inside ±5 %. With a `twin` the bounds include the A/A band, so the ratio is
    "faster" or "slower" if they exclude 1; without one, if they are outside of ±5 %. Else, and without an interval,
    it is "inconclusive". With `lower_is_better`, for times and costs, a smaller ratio is faster.
    """
    if bounds is None:
        return "inconclusive"
    low, high = bounds
    if low >= 1 - EQUIVALENT and high <= 1 + EQUIVALENT:
        return "equivalent"
    edge = 1.0 if twin else 1 + EQUIVALENT
    if low <= edge and high >= 1 / edge:
        return "inconclusive"
    return "faster" if (ratio < 1) is lower_is_better else "slower"
