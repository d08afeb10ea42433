"""The most a target answers within a latency promised, from the levels of the `server` scenario as they were run."""

from __future__ import annotations

from collections.abc import Hashable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from bench import statistics
from bench.validity import kept_up, refused

if TYPE_CHECKING:
    from bench.report.summary import Campaign

# The target's own failings at a level. Any other code says that nothing is known of that window.
FAILINGS = ("E_ERR", "E_RATE", "E_STALL", "E_EMPTY", "E_WRONG")


class Capacity(NamedTuple):
    """
    Requests a second that were answered within the promise, at a level of the closed maximum in percent.

    `rps` is the median over blocks, `low` the low end of its 95 % interval; with fewer than three blocks, the lowest.
    """

    rps: float
    low: float
    percent: int


def capacity_within_slo(campaign: Campaign, target: str, slo_ms: float, route: str = "search") -> Capacity | None:
    """`capacity_within` for a p99."""
    return capacity_within(campaign, target, route, "p99_ms", slo_ms)


def capacity_within(
    campaign: Campaign, target: str, route: str, percentile_column: str, limit_ms: float
) -> Capacity | None:
    """
    The highest level that a target held: answered at the rate offered, the percentile within the limit.

    A level is held when most of its blocks held it (so when the median over blocks of the percentile did, a block
    that failed counting as endless), and every level below it was. Nothing is interpolated between levels or
    extrapolated beyond them. None where not even the lowest was held, or none was run.
    """
    runs = campaign.runs
    rows = runs[(runs.target == target) & (runs.scenario == "server") & (runs.route == route)]
    known = rows.loc[np.array([_known(row, percentile_column) for row in rows.to_dict("records")], dtype=bool)]
    best = None
    for percent, level in known.groupby("percent"):
        told = level[["rps", "offered_rps", "duration_s", "p50_ms"]].fillna(0.0)
        answered = ~level.refused & np.array([kept_up(*row) for row in told.to_numpy()], dtype=bool)
        held = level[answered & (level[percentile_column] <= limit_ms)]
        if 2 * held.block.nunique() <= level.block.nunique():
            break
        best = _capacity(held, int(float(str(percent))))
    return best


def _known(row: dict[Hashable, Any], column: str) -> bool:
    """Whether a window says anything of the target: it has the percentile, or failed by the target's doing."""
    codes = str(row["codes"]).split()
    if not refused(codes):
        return bool(pd.notna(row[column]))
    return all(code in FAILINGS for code in codes if refused([code]))


def _capacity(held: pd.DataFrame, percent: int) -> Capacity:
    rps = held.groupby("block").rps.median()
    bounds = statistics.interval(rps.tolist())
    return Capacity(float(rps.median()), bounds[0] if bounds else float(rps.min()), percent)
