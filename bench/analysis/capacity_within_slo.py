"""The capacity of a target within a latency limit: from the windows of `slo`, or the load levels of `server`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from bench.analysis.summary import Campaign
from bench.records.refusal_codes import MACHINE, MAX_ERROR_SHARE, kept_up, refused

COUNTS = ("rps", "offered_rps", "duration_s", "p50_ms", "errors", "requests")


class RateHeld(NamedTuple):
    """
    The rate held within a limit, in requests a second.

    A block holds the highest rate that it held below every rate that it failed, or 0. `rps` is the median over blocks
    and `low` the minimum. `high` is the lowest rate that failed above all held rates; None if nothing failed there.
    `windows` counts every window, `blocks_held` the blocks that held a rate.
    """

    rps: float
    low: float
    high: float | None
    windows: int
    blocks_held: int


class Observed(NamedTuple):
    """
    A window: its block, its level, its offered rate, the rate that it shows to be held, and whether the limit held.

    The level orders windows: it is the offered rate in `slo`, and the share of the maximum in `server`.
    """

    block: int
    level: float
    offered_rps: float
    held_rps: float
    held: bool


class Capacity(NamedTuple):
    """
    Requests a second within the limit, at a load level in percent of the closed loop's maximum.

    `rps` is the median over blocks of the highest rate that each held, `low` the minimum.
    """

    rps: float
    low: float
    percent: int


def rate_held(campaign: Campaign, target: str, route: str) -> RateHeld | None:
    """Return the rate that a target held within the campaign's own p99 limit; None if nothing was held or offered."""
    return rate_within(campaign, target, route, "p99_ms", None)


def rate_within(
    campaign: Campaign, target: str, route: str, percentile_column: str, limit_ms: float | None
) -> RateHeld | None:
    """
    Return the rate that a target held with a percentile within a limit; None for the limit of the rows themselves.

    The windows are those of `slo`, or of `server` in a campaign without them. Every window counts.
    """
    windows = list(_observe(campaign, target, route, percentile_column, limit_ms))
    return summarise(windows)


def summarise(windows: Sequence[Observed]) -> RateHeld | None:
    """Return the rate held in windows of several blocks; None if no block held a rate."""
    blocks = sorted({window.block for window in windows})
    by_block = [_held_below_failures([window for window in windows if window.block == block]) for block in blocks]
    held = [rps for rps in by_block if rps is not None]
    if not held:
        return None
    best = max(window.level for window in windows if window.held)
    above = [window.offered_rps for window in windows if not window.held and window.level > best]
    rates = held + [0.0] * (len(blocks) - len(held))
    return RateHeld(float(np.median(rates)), min(rates), min(above, default=None), len(windows), len(held))


def _held_below_failures(windows: Sequence[Observed]) -> float | None:
    """Return the highest rate that was held below every rate that failed; None if there is none."""
    failed = min((window.level for window in windows if not window.held), default=float("inf"))
    return max((window.held_rps for window in windows if window.held and window.level < failed), default=None)


def _observe(campaign: Campaign, target: str, route: str, column: str, limit_ms: float | None) -> Iterable[Observed]:
    runs = campaign.runs
    own = runs[(runs.target == target) & (runs.route == route)]
    searched = own[(own.scenario == "slo") & own.offered_rps.notna()]
    rows = searched if len(searched) else own[own.scenario == "server"]
    for row in rows.to_dict("records"):
        held = _holds(row, column, limit_ms)
        if held is not None:
            level, held_rps = (row["offered_rps"],) * 2 if len(searched) else (row["load_percent"], row["rps"])
            yield Observed(int(row["block"]), float(level), float(row["offered_rps"]), float(held_rps), held)


def _holds(row: dict[Any, Any], column: str, limit_ms: float | None) -> bool | None:
    """
    Return whether a window held a limit; None if it says nothing of the target.

    A limit that is held beside a disturbance is held. One that is broken beside a disturbance is broken if the target
    is also to blame, or if no try was sound: `slo` leaves `held` blank in all tries but the last.
    """
    codes = {code for code in str(row["codes"]).split() if refused([code])}
    searched, blamed = row["scenario"] == "slo", codes - set(MACHINE)
    if "E_PIN" in codes or (searched and pd.isna(row["held"])):
        return None
    if searched and limit_ms is None:
        return bool(row["held"])
    within = _within(row, column, float(row["slo_ms"]) if limit_ms is None else limit_ms)
    if within:
        return not blamed
    counts = blamed or (within is not None and (searched or not codes))
    return False if counts else None


def _within(row: dict[Any, Any], column: str, limit_ms: float) -> bool | None:
    """Return whether rate, errors and percentile are within the limits; None without a percentile."""
    if pd.isna(row[column]):
        return None
    numbers = {name: 0.0 if pd.isna(row[name]) else float(row[name]) for name in COUNTS}
    answered = kept_up(numbers["rps"], numbers["offered_rps"], numbers["duration_s"], numbers["p50_ms"])
    sound = numbers["errors"] <= MAX_ERROR_SHARE * numbers["requests"]
    return bool(answered and sound and float(row[column]) <= limit_ms)


def capacity_within_slo(campaign: Campaign, target: str, slo_ms: float, route: str = "search") -> Capacity | None:
    """Return `capacity_within` for the p99."""
    return capacity_within(campaign, target, route, "p99_ms", slo_ms)


def capacity_within(
    campaign: Campaign, target: str, route: str, percentile_column: str, limit_ms: float
) -> Capacity | None:
    """
    Return the highest load level of `server` that more than half of the blocks held, with every lower level.

    A block that fails a level counts with the level below it from then on: `low` is the lowest rate of any block.
    """
    runs = campaign.runs
    rows = runs[(runs.target == target) & (runs.scenario == "server") & (runs.route == route)]
    levels: dict[int, list[Observed]] = {}
    for row in rows.sort_values("load_percent").to_dict("records"):
        held = _holds(row, percentile_column, limit_ms)
        if held is not None:
            level, offered_rps, rps = (float(row[name]) for name in ("load_percent", "offered_rps", "rps"))
            window = Observed(int(row["block"]), level, offered_rps, rps, held)
            levels.setdefault(int(row["load_percent"]), []).append(window)
    return _choose_level(levels)


def _choose_level(levels: dict[int, list[Observed]]) -> Capacity | None:
    best: Capacity | None = None
    below: dict[int, float] = {}
    failed: set[int] = set()
    for percent, windows in levels.items():
        blocks = {window.block for window in windows}
        failed |= {window.block for window in windows if not window.held}
        if 2 * len(failed & blocks) >= len(blocks):
            break
        below |= {block: _median_rps(windows, block) for block in blocks - failed}
        rates = [below.get(block, 0.0) for block in blocks]
        best = Capacity(float(np.median(rates)), min(rates), percent)
    return best


def _median_rps(windows: Sequence[Observed], block: int) -> float:
    return float(np.median([window.held_rps for window in windows if window.block == block]))
