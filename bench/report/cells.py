"""Cells against each other: the figure that headlines a scenario, ratios paired by block, the A/A band, the words."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench import statistics
from bench.campaign import TWIN
from bench.validity import MAX_CV

KEYS = ["target", "scenario", "route", "concurrency", "batch", "percent", "page_cache"]
Key = tuple[Any, ...]  # the values of KEYS, "" for a load that the scenario does not have
Blocks = dict[int, list[float]]  # the replicates of each block

# What gets an interval, scenario by scenario; the first is the headline, which the ratio is of.
FIGURES: Mapping[str, tuple[str, ...]] = {
    "verify": ("ingest_texts_per_s",),
    "cold": ("first_answer_s",),
    "single": ("rps", "p50_ms", "p99_ms", "cpu_ms_per_req"),
    "closed": ("rps", "p99_ms", "cpu_ms_per_req"),
    "server": ("rps", "p99_ms"),
    "offline": ("texts_per_s", "tokens_per_s"),
    "rerank": ("pairs_per_s", "p95_ms"),
    "mixed": ("p99_ms",),
    "cache": ("rps",),
    "overload": ("goodput_rps",),
}
# Each target is offered a share of its own maximum there: the same percent is not the same load.
OWN_LOAD = ("server", "mixed", "overload", "burst")
MORE_IS_BETTER = ("_per_s", "rps", "goodput_kept")


class Compared(NamedTuple):
    """A ratio to another target, its 95 % interval where there is one, and its word."""

    ratio: float
    bounds: statistics.Interval | None
    word: str


def group(runs: pd.DataFrame) -> dict[Key, pd.DataFrame]:
    """The rows of every cell, by its key, in the order of their first rows."""
    keys = runs[KEYS].astype(object).where(runs[KEYS].notna(), "")
    groups = runs.groupby([keys[name] for name in KEYS], sort=False)
    return {tuple(key): rows for key, rows in groups}


def headline(scenario: str) -> str:
    """The column that headlines a scenario; "" where nothing is compared."""
    return FIGURES.get(scenario, ("",))[0]


def lower_is_better(column: str) -> bool:
    """Whether less of it is better: times, costs and memory; not rates."""
    return not column.endswith(MORE_IS_BETTER)


def by_block(rows: pd.DataFrame, column: str) -> Blocks:
    """A column of one cell, block by block, refused rows and blanks left out."""
    found: Blocks = {}
    for block, value, void in zip(rows.block.tolist(), rows[column].tolist(), rows.refused.tolist(), strict=True):
        if not void and not math.isnan(value):
            found.setdefault(int(block), []).append(value)
    return found


def unsteady(rows: pd.DataFrame, column: str) -> bool:
    """Whether the blocks of one cell spread by more than 10 % (E_CV)."""
    return (statistics.spread(list(by_block(rows, column).values())) or 0.0) > MAX_CV


def compare(cells: Mapping[Key, pd.DataFrame], key: Key, other: str, column: str) -> Compared | None:
    """A figure of a cell against that of another target in the same cell; None with no block in common."""
    theirs = cells.get((other, *key[1:]))
    if theirs is None:
        return None
    return judge(cells[key], theirs, column, lambda blocks: band(cells, key, column, blocks))


def judge(
    mine: pd.DataFrame,
    theirs: pd.DataFrame,
    column: str,
    noise: Callable[[int], float | None],
    *,
    paired: bool = True,
) -> Compared | None:
    """
    A figure of one cell against that of another; `noise` gives the A/A band over so many blocks.

    Paired by the number of the block; None where a side has no sound block, or no block is shared. A side whose own
    blocks spread by more than 10 % decides nothing.
    """
    ours, others = by_block(mine, column), by_block(theirs, column)
    shared = sorted(ours.keys() & others.keys())
    if not ours or not others or (paired and not shared):
        return None
    if paired:
        ratio, bounds = statistics.paired_ratio([ours[b] for b in shared], [others[b] for b in shared])
    else:
        ratio, bounds = statistics.unpaired_ratio(list(ours.values()), list(others.values()))
    if unsteady(mine, column) or unsteady(theirs, column):
        return Compared(ratio, bounds, "inconclusive")
    reach = noise(len(shared) if paired else min(len(ours), len(others)))
    return Compared(ratio, bounds, statistics.word(ratio, bounds, reach, lower_is_better=lower_is_better(column)))


def band(cells: Mapping[Key, pd.DataFrame], key: Key, column: str, blocks: int) -> float | None:
    """
    The A/A band of a figure over so many blocks, pooled over the twin's cells of this scenario and route.

    None without a twin; see `bench.statistics.reach`.
    """
    strays = []
    for twin, rows in cells.items():
        if not twin[0].endswith(TWIN) or twin[1:3] != key[1:3]:
            continue
        original = cells.get((twin[0].removesuffix(TWIN), *twin[1:]))
        if original is not None:
            strays.append(_strays(by_block(rows, column), by_block(original, column)))
    return statistics.reach(strays, blocks)


def _strays(twin: Blocks, original: Blocks) -> Sequence[float]:
    """The ratio of the twin to its original in each block they share."""
    shared = twin.keys() & original.keys()
    return [float(np.exp(np.log(twin[b]).mean() - np.log(original[b]).mean())) for b in sorted(shared)]
