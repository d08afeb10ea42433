"""The capacity of a target within a latency limit, from the load levels of the `server` scenario."""

from __future__ import annotations

from collections.abc import Hashable
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench import statistics
from bench.analysis.summary import Campaign
from bench.records.refusal_codes import kept_up, refused

# Codes that are the target's own failure. With any other refusal the window says nothing about the target.
FAILINGS = ("E_ERR", "E_RATE", "E_STALL", "E_EMPTY", "E_WRONG")


class Capacity(NamedTuple):
    """
    Requests a second within the limit, at a load level in percent of the closed loop's maximum.

    `rps` is the median over blocks, `low` the low end of its 95 % interval; below three blocks, the minimum.
    """

    rps: float
    low: float
    percent: int


def capacity_within_slo(campaign: Campaign, target: str, slo_ms: float, route: str = "search") -> Capacity | None:
    """Return `capacity_within` for the p99."""
    return capacity_within(campaign, target, route, "p99_ms", slo_ms)


def capacity_within(
    campaign: Campaign, target: str, route: str, percentile_column: str, limit_ms: float
) -> Capacity | None:
    """
    Return the highest load level at which a target kept up with the offered rate, with the percentile in the limit.

    A level counts if more than half of its blocks are within the limit, and if every lower level counts. Levels are
    neither interpolated nor extrapolated. Returns None if not even the lowest level counts, or if none was run.
    """
    runs = campaign.runs
    rows = runs[(runs.target == target) & (runs.scenario == "server") & (runs.route == route)]
    informative = rows.loc[
        np.array([_is_informative(row, percentile_column) for row in rows.to_dict("records")], dtype=bool)
    ]
    best = None
    for percent, level in informative.groupby("load_percent"):
        figures = level[["rps", "offered_rps", "duration_s", "p50_ms"]].fillna(0.0)
        answered = ~level.refused & np.array([kept_up(*row) for row in figures.to_numpy()], dtype=bool)
        held = level[answered & (level[percentile_column] <= limit_ms)]
        if 2 * held.block.nunique() <= level.block.nunique():
            break
        best = _summarise_level(held, int(float(str(percent))))
    return best


def _is_informative(row: dict[Hashable, Any], column: str) -> bool:
    """Return whether a window has the percentile, or was refused only for failures of the target."""
    codes = str(row["codes"]).split()
    if not refused(codes):
        return bool(pd.notna(row[column]))
    return all(code in FAILINGS for code in codes if refused([code]))


def _summarise_level(held: pd.DataFrame, percent: int) -> Capacity:
    rps = held.groupby("block").rps.median()
    bounds = statistics.interval(rps.tolist())
    return Capacity(float(rps.median()), bounds[0] if bounds else float(rps.min()), percent)
