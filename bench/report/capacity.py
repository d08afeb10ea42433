"""What one server of each target holds of each payload, at the least, and which target wins at which rate."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from bench.report.slo import capacity_within_slo
from bench.report.summary import Campaign

BEYOND = 1.25  # times the most that one server of any target was measured to hold: further on nothing is said
CLOSE = 1.02  # capacities nearer than this are one: nobody plans a rate so finely
QUERIES = {"search": "search", "embeddings": "embed a query"}
BULK = {
    "offline": ("embeddings", "texts_per_s", "embed {:g} chunks a request"),
    "rerank": ("rerank", "pairs_per_s", "rerank {:g} documents"),
}


@dataclass(frozen=True)
class Holds:
    """What one server of a target holds of a payload, at the least: requests a second, in so much memory."""

    target: str
    precision: str
    rps: float
    mib: float
    gpu: bool = False


@dataclass(frozen=True)
class Span:
    """From `low` to `high` requests a second so many replicas of a target are the fewest, in the least memory."""

    low: float
    high: float
    target: str
    replicas: int
    mib: float


def capacities(campaign: Campaign) -> dict[str, list[Holds]]:
    """By payload, what each shape that may win holds of it; payloads that nothing was measured with are left out."""
    payloads: dict[str, list[Holds]] = {}
    for route, slo_ms in slos(campaign):
        lines = _shapes(campaign, "server", route)
        found = {name: capacity_within_slo(campaign, name, slo_ms, route) for name in dict.fromkeys(lines.index)}
        bounds = {str(name): held.low for name, held in found.items() if held}
        payloads[f"{QUERIES[route]}, p99 ≤ {slo_ms:g} ms"] = _holds(lines, bounds, campaign.on_gpu)
    for scenario, (route, column, name) in BULK.items():
        lines = _shapes(campaign, scenario, route)
        for batch in sorted(lines.batch.dropna().unique()):
            own = lines[lines.batch == batch]
            bounds = {
                str(target): _lowest(campaign, scenario, str(target), batch, column) / batch for target in own.index
            }
            payloads[name.format(batch)] = _holds(own, bounds, campaign.on_gpu)
    return {name: known for name, known in payloads.items() if known}


def slos(campaign: Campaign) -> list[tuple[str, float]]:
    """The routes that rates were offered to, each with the p99 in ms they are held to."""
    rows = campaign.runs[(campaign.runs.scenario == "server") & campaign.runs.slo_ms.notna()]
    return [(str(route), float(slo_ms)) for route, slo_ms in dict.fromkeys(zip(rows.route, rows.slo_ms, strict=True))]


def _shapes(campaign: Campaign, scenario: str, route: str) -> pd.DataFrame:
    lines = campaign.lines(scenario, route)
    return lines[lines.ranked.astype(bool) & ~lines.peer.astype(bool) & (lines.refused_rows < lines.rows)]


def _lowest(campaign: Campaign, scenario: str, target: str, batch: float, column: str) -> float:
    """The low end of a figure's 95 % interval over blocks; with fewer than three, its lowest."""
    low = campaign.lines(scenario, BULK[scenario][0], batch=int(batch))[f"{column}_low"][target]
    if pd.notna(low):
        return float(low)
    runs = campaign.runs
    cell = (runs.scenario == scenario) & (runs.target == target) & (runs.batch == batch)
    return float(runs[cell & ~runs.refused][column].min())


def _holds(lines: pd.DataFrame, bounds: dict[str, float], on_gpu: Collection[str]) -> list[Holds]:
    """Capacities with what they take: PSS where it is known of all, else the peak of RSS; the most of any load."""
    memory = "pss_mib" if lines.pss_mib.notna().all() else "rss_peak_mib"
    made = []
    for target, rps in bounds.items():
        own = lines.loc[[target]]
        mib = own[memory].max()
        if rps > 0 and pd.notna(mib):
            made.append(Holds(target, str(own.precision.iloc[0]), rps, float(mib), target in on_gpu))
    return made


def spans(known: Sequence[Holds], lowest: float) -> list[Span]:
    """Who wins from `lowest` requests a second up to 1.25 × the largest capacity; what wins alike is one span."""
    highest = BEYOND * max(one.rps for one in known)
    steps = {count * one.rps for one in known for count in range(1, _replicas(one, highest))}
    cuts = [lowest]
    for step in sorted(steps):
        if lowest < step < highest and step > CLOSE * cuts[-1]:
            cuts.append(step)
    made: list[Span] = []
    for low, high in pairwise([*cuts, highest]):
        best = min(known, key=lambda one: (_replicas(one, high), _replicas(one, high) * one.mib))
        count = _replicas(best, high)
        if made and (made[-1].target, made[-1].replicas) == (best.target, count):
            low = made.pop().low
        made.append(Span(low, high, best.target, count, count * best.mib))
    return made


def _replicas(one: Holds, rate: float) -> int:
    return math.ceil(rate / one.rps * (1 - 1e-9))  # a whole number of servers, not one more for a rounding error
