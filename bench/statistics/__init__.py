"""
Statistics of the harness: percentiles, intervals, the A/A band, the verdict of a ratio.

The Universal Scalability Law is in `bench.statistics.usl`, which is not imported here.
"""

from bench.statistics.intervals import Block, Interval, interval, paired_ratio, reach, spread, unpaired_ratio, widen
from bench.statistics.percentiles import FLOORS, HEADLINE_FLOOR, median, percentile
from bench.statistics.verdict_words import EQUIVALENT, word

__all__ = [
    "EQUIVALENT",
    "FLOORS",
    "HEADLINE_FLOOR",
    "Block",
    "Interval",
    "interval",
    "median",
    "paired_ratio",
    "percentile",
    "reach",
    "spread",
    "unpaired_ratio",
    "widen",
    "word",
]
