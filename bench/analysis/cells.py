"""Comparison of cells: the headline figure of a scenario, ratios paired by block, the A/A band, the verdict."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench import statistics
from bench.records.refusal_codes import MAX_CV
from bench.records.runs_csv import TWIN

LOADS = ["concurrency", "cores", "batch", "load_percent", "repeat_percent", "mixed_percent", "text_tokens"]
KEYS = ["target", "scenario", "route", *LOADS, "arrangement", "page_cache"]
Key = tuple[Any, ...]  # the values of KEYS, "" for loads that the scenario does not have
Blocks = dict[int, list[float]]  # the replicates of each block

# The columns of each scenario that get an interval. The first is the headline, and the ratio is of that one.
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
    "crowd": ("goodput_rps",),
}
# Scenarios that offer each target a share of its own maximum: equal percentages are different loads.
OWN_LOAD = ("server", "mixed", "overload", "burst", "crowd")
MORE_IS_BETTER = ("_per_s", "rps", "goodput_kept")


class Compared(NamedTuple):
    """A ratio to another target, its 95 % interval or None, and the verdict of `bench.statistics.word`."""

    ratio: float
    bounds: statistics.Interval | None
    word: str


def group(runs: pd.DataFrame) -> dict[Key, pd.DataFrame]:
    """Return the rows of every cell by its key, in the order of first rows."""
    keys = runs[KEYS].astype(object).where(runs[KEYS].notna(), "")
    groups = runs.groupby([keys[name] for name in KEYS], sort=False)
    return {tuple(key): rows for key, rows in groups}


def key(target: str, scenario: str, route: str = "", **loads: float) -> Key:
    """Return the key of a cell by its loads, which are columns of LOADS."""
    return (target, scenario, route, *(loads.get(name, "") for name in LOADS), "", "")


def headline(scenario: str) -> str:
    """Return the headline column of a scenario; "" if the scenario is not compared."""
    return FIGURES.get(scenario, ("",))[0]


def lower_is_better(column: str) -> bool:
    """Return whether lower values are better: true for times, costs and memory, false for rates."""
    return not column.endswith(MORE_IS_BETTER)


def by_block(rows: pd.DataFrame, column: str) -> Blocks:
    """Return the values of a column by block, without refused rows and blanks."""
    values: Blocks = {}
    for block, value, void in zip(rows.block.tolist(), rows[column].tolist(), rows.refused.tolist(), strict=True):
        if not void and not math.isnan(value):
            values.setdefault(int(block), []).append(value)
    return values


def unsteady(rows: pd.DataFrame, column: str) -> bool:
    """Return whether the coefficient of variation over blocks is above 10 % (E_CV)."""
    return (statistics.spread(list(by_block(rows, column).values())) or 0.0) > MAX_CV


def compare(cells: Mapping[Key, pd.DataFrame], key: Key, other: str, column: str) -> Compared | None:
    """Compare a column of a cell with that of another target in the same cell; None without a common block."""
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
    Compare a column of two cells; `noise(blocks)` returns the A/A band over that number of blocks.

    Pairs are blocks of the same number. Returns None if a side has no sound block, or if no block is shared. The
    interval includes the A/A band. The verdict is inconclusive if the blocks of a side vary by more than 10 %.
    """
    ours, baseline = by_block(mine, column), by_block(theirs, column)
    shared = sorted(ours.keys() & baseline.keys())
    if not ours or not baseline or (paired and not shared):
        return None
    if paired:
        ratio, bounds = statistics.paired_ratio([ours[b] for b in shared], [baseline[b] for b in shared])
    else:
        ratio, bounds = statistics.unpaired_ratio(list(ours.values()), list(baseline.values()))
    reach = noise(len(shared) if paired else min(len(ours), len(baseline)))
    bounds = statistics.widen(ratio, bounds, reach)
    if unsteady(mine, column) or unsteady(theirs, column):
        return Compared(ratio, bounds, "inconclusive")
    verdict = statistics.word(ratio, bounds, twin=reach is not None, lower_is_better=lower_is_better(column))
    return Compared(ratio, bounds, verdict)


def band(cells: Mapping[Key, pd.DataFrame], key: Key, column: str, blocks: int) -> float | None:
    """
    Return the A/A band of a column over `blocks` blocks, pooled over the twin's cells of this scenario and route.

    None without a twin. See `bench.statistics.reach`.
    """
    ratios = []
    for twin, rows in cells.items():
        if not twin[0].endswith(TWIN) or twin[1:3] != key[1:3]:
            continue
        original = cells.get((twin[0].removesuffix(TWIN), *twin[1:]))
        if original is not None:
            ratios.append(_pair_ratios(by_block(rows, column), by_block(original, column)))
    return statistics.reach(ratios, blocks)


def _pair_ratios(twin: Blocks, original: Blocks) -> Sequence[float]:
    """Return the ratio of the twin to its original in each common block."""
    shared = twin.keys() & original.keys()
    return [float(np.exp(np.log(twin[b]).mean() - np.log(original[b]).mean())) for b in sorted(shared)]
