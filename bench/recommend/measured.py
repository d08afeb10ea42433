"""What a campaign measured of each shape: what one replica holds within limits, at the least, and what it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import pandas as pd

from bench import statistics
from bench.devices import SEPARATOR
from bench.recommend.needs import COLUMNS, Needs
from bench.report.summary import Campaign, capacity_within


@dataclass(frozen=True)
class Shape:
    """
    One replica of a target, as measured on `cores` of its own, and on a GPU of its own where `gpu` says so.

    `rps` is the median over blocks of the most it held within the limits and `low` the lower bound of that; None,
    with the reason in `why`, where nothing measured is within them. `unbounded` says that it held even the highest
    rate that was offered. `pss_mib` and `peak_mib` are by role, the front last. `thin_rps` is what one of its fronts
    holds by itself, where that is known: then fronts are counted apart.
    """

    target: str
    title: str
    precision: str
    cores: int
    pss_mib: Mapping[str, float]
    peak_mib: Mapping[str, float]
    rps: float | None = None
    low: float | None = None
    unbounded: bool = False
    cpu_ms: float | None = None
    thin_rps: float | None = None
    why: str = ""
    device: str = ""
    gpu: bool = False

    @property
    def eligible(self) -> bool:
        """Whether it may be recommended."""
        return self.low is not None and not self.why


def shapes(campaign: Campaign, needs: Needs) -> list[Shape]:
    """Every target of the campaign that may be asked, in the order of the campaign; the A/A twin is left out."""
    runs, told = campaign.runs, campaign.manifest["targets"]
    rows = runs[(runs.scenario == "server") & (runs.route == needs.route) & ~runs.refused.astype(bool)]
    asked = [name for name in campaign.targets if told[name].get("ingest", True)]
    found = [_shape(campaign, name, rows[rows.target == name], needs) for name in asked]
    return [_with_thin_front(shape, found) for shape in found]


def _shape(campaign: Campaign, name: str, rows: pd.DataFrame, needs: Needs) -> Shape:
    told, cores = campaign.manifest["targets"][name], max(1, len(campaign.manifest["pinning"]["server"]))
    base = Shape(
        target=name,
        title=str(told["title"]),
        precision=str(told["precision"]),
        cores=cores,
        pss_mib=_roles(rows, "pss"),
        peak_mib=_roles(rows, "peak"),
        device=str(told.get("device", "")),
        gpu=name in campaign.on_gpu,
    )
    if rows.empty:
        return replace(base, why="not measured: no sound open-loop row of this route")
    held = [capacity_within(campaign, name, needs.route, column, limit) for column, limit in needs.limits.items()]
    known = [capacity for capacity in held if capacity is not None]
    if len(known) < len(held):
        return replace(base, why=f"nothing measured fits: {_closest(rows, needs)}")
    rps, low, percent = min(known, key=lambda capacity: capacity.low)
    cpu_ms = statistics.median(rows[rows.percent == percent].cpu_ms_per_req.dropna().tolist())
    why = _never(told)
    if needs.vcpu is not None and needs.vcpu < cores:
        why = why or f"not measured on fewer than {cores} core{'s' * (cores > 1)}"
    if not base.pss_mib:
        why = why or "not measured: its memory was not seen"
    return replace(base, rps=rps, low=low, unbounded=bool(percent == rows.percent.max()), cpu_ms=cpu_ms, why=why)


def _never(told: Mapping[str, Any]) -> str:
    if told["precision"] == "pseudo":
        return "no model runs: never recommended"
    return "a peer: shown, never recommended" if told["peer"] else ""


def _closest(rows: pd.DataFrame, needs: Needs) -> str:
    """How far the lowest rate is from the limits."""
    lowest = rows[rows.percent == rows.percent.min()]
    told = [
        f"{COLUMNS[column]} is {lowest[column].median():,.0f} ms"
        if lowest[column].notna().any()
        else "too few samples"
        for column in needs.limits
    ]
    return f"at its lowest rate, {lowest.offered_rps.median():,.0f} a second, {' and '.join(told)}"


def _roles(rows: pd.DataFrame, kind: str) -> dict[str, float]:
    """
    MiB by role, the most of any sound row: PSS, or the peak of RSS.

    Rows have both as sums over the roles; each role's share is that of its steady RSS.
    """
    total = rows.pss_mib.max() if kind == "pss" else rows.rss_peak_mib.max()
    told = rows.rss_roles_mib[rows.rss_roles_mib != ""]
    if pd.isna(total) or told.empty:
        return {}
    steady = {name: float(mib) for name, _, mib in (pair.partition("=") for pair in str(told.iloc[-1]).split())}
    return {name: float(total) * mib / sum(steady.values()) for name, mib in steady.items()}


def _with_thin_front(shape: Shape, every: list[Shape]) -> Shape:
    """
    How much one front of a shape of several roles holds, from what it costs without a model.

    Its CPU a request is at most the floor's (the same gateway, no model) and what the split costs more than the
    monolith of the same runtime on the same device; it holds so much less than the floor does as it costs more. Not
    known where one of the three was not measured: then every replica keeps the front it was measured with.
    """
    floor = next((other for other in every if other.precision == "pseudo"), None)
    monos = (other for other in every if other.target.partition(SEPARATOR)[0] == "onnx_py")
    mono = next((other for other in monos if other.device == shape.device), None)
    if len(shape.pss_mib) < 2 or not (shape.cpu_ms and floor and floor.low and floor.cpu_ms and mono and mono.cpu_ms):
        return shape
    front_ms = floor.cpu_ms + max(0.0, shape.cpu_ms - mono.cpu_ms)
    return replace(shape, thin_rps=floor.low * floor.cpu_ms / front_ms)
