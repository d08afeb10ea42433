"""The capacity of one server of each target for each payload, and the target that wins at each rate."""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import pairwise

import pandas as pd

from bench.analysis.capacity_within_slo import capacity_within_slo
from bench.analysis.summary import Campaign

BEYOND = 1.25  # times the highest measured capacity of one server; above that nothing is claimed
CLOSE = 1.02  # rates nearer than 2 % count as one step
QUERIES = {"search": "search", "embeddings": "embed a query"}
BULK = {
    "offline": ("embeddings", "texts_per_s", "embed {:g} chunks a request"),
    "rerank": ("rerank", "pairs_per_s", "rerank {:g} documents"),
}


@dataclass(frozen=True)
class ServerCapacity:
    """The lower bound of what one server answers of a payload, in requests a second, and its memory in MiB."""

    target: str
    precision: str
    rps: float
    mib: float
    gpu: bool = False


@dataclass(frozen=True)
class Span:
    """A range of rates in which `replicas` of a target are the fewest, with the least memory `mib`."""

    low: float
    high: float
    target: str
    replicas: int
    mib: float


def capacities(campaign: Campaign) -> dict[str, list[ServerCapacity]]:
    """Return the capacities of each shape by payload, without payloads that were not measured."""
    payloads: dict[str, list[ServerCapacity]] = {}
    for route, slo_ms in slos(campaign):
        lines = _rankable_lines(campaign, "server", route)
        held = {name: capacity_within_slo(campaign, name, slo_ms, route) for name in dict.fromkeys(lines.index)}
        bounds = {str(name): capacity.low for name, capacity in held.items() if capacity}
        payloads[f"{QUERIES[route]}, p99 ≤ {slo_ms:g} ms"] = _collect_capacities(lines, bounds, campaign.on_gpu)
    for scenario, (route, column, name) in BULK.items():
        lines = _rankable_lines(campaign, scenario, route)
        for batch in sorted(lines.batch.dropna().unique()):
            own = lines[lines.batch == batch]
            bounds = {
                str(target): _lower_bound(campaign, scenario, str(target), batch, column) / batch
                for target in own.index
            }
            payloads[name.format(batch)] = _collect_capacities(own, bounds, campaign.on_gpu)
    return {name: servers for name, servers in payloads.items() if servers}


def slos(campaign: Campaign) -> list[tuple[str, float]]:
    """Return the routes of the open loop, each with its p99 limit in ms."""
    rows = campaign.runs[(campaign.runs.scenario == "server") & campaign.runs.slo_ms.notna()]
    return [(str(route), float(slo_ms)) for route, slo_ms in dict.fromkeys(zip(rows.route, rows.slo_ms, strict=True))]


def _rankable_lines(campaign: Campaign, scenario: str, route: str) -> pd.DataFrame:
    lines = campaign.lines(scenario, route)
    return lines[lines.ranked.astype(bool) & ~lines.peer.astype(bool) & (lines.refused_rows < lines.rows)]


def _lower_bound(campaign: Campaign, scenario: str, target: str, batch: float, column: str) -> float:
    """Return the low end of a column's 95 % interval over blocks; below three blocks, the minimum."""
    low = campaign.lines(scenario, BULK[scenario][0], batch=int(batch))[f"{column}_low"][target]
    if pd.notna(low):
        return float(low)
    runs = campaign.runs
    cell = (runs.scenario == scenario) & (runs.target == target) & (runs.batch == batch)
    return float(runs[cell & ~runs.refused][column].min())


def _collect_capacities(
    lines: pd.DataFrame, bounds: dict[str, float], on_gpu: Collection[str]
) -> list[ServerCapacity]:
    """Return capacities with the maximum memory of any load: PSS if all lines have it, else peak RSS."""
    memory = "pss_mib" if lines.pss_mib.notna().all() else "rss_peak_mib"
    servers = []
    for target, rps in bounds.items():
        own = lines.loc[[target]]
        mib = own[memory].max()
        if rps > 0 and pd.notna(mib):
            servers.append(ServerCapacity(target, str(own.precision.iloc[0]), rps, float(mib), target in on_gpu))
    return servers


def spans(servers: Sequence[ServerCapacity], lowest: float) -> list[Span]:
    """Return the winner of each range of rates, from `lowest` to 1.25 times the largest capacity."""
    highest = BEYOND * max(server.rps for server in servers)
    steps = {count * server.rps for server in servers for count in range(1, _count_replicas(server, highest))}
    cuts = [lowest]
    for step in sorted(steps):
        if lowest < step < highest and step > CLOSE * cuts[-1]:
            cuts.append(step)
    ranges: list[Span] = []
    for low, high in pairwise([*cuts, highest]):
        best = min(
            servers,
            key=lambda server: (_count_replicas(server, high), _count_replicas(server, high) * server.mib),
        )
        count = _count_replicas(best, high)
        if ranges and (ranges[-1].target, ranges[-1].replicas) == (best.target, count):
            low = ranges.pop().low
        ranges.append(Span(low, high, best.target, count, count * best.mib))
    return ranges


def _count_replicas(server: ServerCapacity, rate: float) -> int:
    return math.ceil(rate / server.rps * (1 - 1e-9))  # a rounding error must not add a server
