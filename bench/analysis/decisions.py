"""The figures that decide between shapes: rate held within the SLO, memory, cost, start and quality."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bench.analysis import summary
from bench.analysis.capacity_within_slo import rate_held
from bench.analysis.summary import Campaign
from bench.statistics import EQUIVALENT

# The scenarios whose memory counts, the first one with a sound row.
LOADED = ("slo", "server", "closed")
CORE_HOURS = 1e6 / 3600  # core hours of a million requests, for each core and request a second


@dataclass(frozen=True)
class Decision:
    """
    The figures of a target on one route.

    `rps` is the rate held within the SLO, `low` and `high` its bounds; `high` is None if no offered rate failed. All
    are None without an open loop. `closed_rps` is the rate at the headline concurrency, held to no limit. `mib` is
    the largest proportional memory under load, else the steady resident one.
    """

    target: str
    route: str
    precision: str
    peer: bool
    cores: int
    rps: float | None = None
    low: float | None = None
    high: float | None = None
    windows: int = 0
    closed_rps: float | None = None
    mib: float | None = None
    start_s: float | None = None
    ndcg10: float | None = None

    @property
    def core_hours_million(self) -> float | None:
        """Core hours of a million requests at the rate held; None without one."""
        return self.cores * CORE_HOURS / self.rps if self.rps else None

    def describe_bounds(self) -> str:
        """Return the bounds of the rate held; "or more" if no offered rate failed, "" without a rate."""
        if self.low is None:
            return ""
        return f"{self.low:,.0f} " + ("or more" if self.high is None else f"to {self.high:,.0f}")


def slos(campaign: Campaign) -> list[tuple[str, float]]:
    """Return the routes of the open loop, each with its p99 limit in ms."""
    rows = campaign.runs[campaign.runs.scenario.isin(["slo", "server"]) & campaign.runs.slo_ms.notna()]
    return [(str(route), float(slo_ms)) for route, slo_ms in dict.fromkeys(zip(rows.route, rows.slo_ms, strict=True))]


def decide(campaign: Campaign, route: str) -> list[Decision]:
    """Return the figures of every target with a sound rate on the route: the held ones first, the highest first."""
    known = [_decide(campaign, target, route) for target in campaign.targets]
    listed = [decision for decision in known if decision.rps is not None or decision.closed_rps is not None]
    return sorted(listed, key=lambda decision: (decision.rps is None, -(decision.rps or decision.closed_rps or 0.0)))


def noise(campaign: Campaign, route: str) -> float:
    """Return the share by which equal servers may differ: the A/A band of the sweep, and at least 5 %."""
    return max(EQUIVALENT, summary.noise(campaign.runs, route, campaign.concurrency))


def told_apart(first: Decision, second: Decision, band: float) -> bool:
    """Return whether the first's lower bound is above the second's rate by more than equal servers differ."""
    return bool(first.low and second.rps is not None and first.low > second.rps * (1 + band))


def _decide(campaign: Campaign, target: str, route: str) -> Decision:
    facts = campaign.manifest["targets"][target]
    closed = campaign.lines("closed", route, campaign.concurrency)
    rps, low, high, windows = _find_rates(campaign, target, route)
    cold = campaign.lines("cold", "embeddings")
    quality = pd.concat([campaign.lines("quality", "search"), campaign.lines("verify")])
    return Decision(
        target,
        route,
        str(facts["precision"]),
        bool(facts["peer"]),
        max(1, len(campaign.manifest["pinning"]["server"])),
        rps,
        low,
        high,
        windows,
        closed_rps=_read(closed, target, "rps"),
        mib=_find_memory(campaign, target, route),
        start_s=_read(cold[cold.page_cache != "cold"], target, "first_answer_s"),
        ndcg10=_read(quality.dropna(subset=["ndcg10"]), target, "ndcg10"),
    )


def _find_rates(campaign: Campaign, target: str, route: str) -> tuple[float | None, float | None, float | None, int]:
    """Return the rate held, its bounds around it, and the number of windows."""
    held = rate_held(campaign, target, route)
    if held is None:
        return None, None, None, 0
    high = None if held.high is None else max(held.rps, held.high)
    return held.rps, min(held.low, held.rps), high, held.windows


def _read(lines: pd.DataFrame, target: str, column: str) -> float | None:
    values = lines[column][lines.index == target].dropna()
    return float(values.iloc[0]) if len(values) else None


def _find_memory(campaign: Campaign, target: str, route: str) -> float | None:
    runs = campaign.runs
    own = runs[(runs.target == target) & (runs.route == route) & ~runs.refused.astype(bool)]
    for column in ("pss_mib", "rss_steady_mib"):
        for scenario in LOADED:
            values = own[own.scenario == scenario][column].dropna()
            if len(values):
                return float(values.max())
    return None
