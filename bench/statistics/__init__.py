"""
The arithmetic of the harness: percentiles, intervals, the A/A band, the words of a ratio.

The Universal Scalability Law is in `bench.statistics.usl`, imported where it is fitted.
"""

from bench.statistics.bootstrap import Block, Interval, interval, paired_ratio, reach, spread, unpaired_ratio
from bench.statistics.percentiles import FLOORS, HEADLINE_FLOOR, median, percentile
from bench.statistics.words import EQUIVALENT, word

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
    "word",
]
