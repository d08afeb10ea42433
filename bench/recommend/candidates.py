"""The capacity of one replica of each shape within the latency limits, and its memory, from a campaign."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import pandas as pd

from bench import statistics
from bench.analysis.capacity_within_slo import capacity_within, rate_within
from bench.analysis.summary import Campaign
from bench.machine.device_names import SEPARATOR
from bench.recommend.needs import COLUMNS, Needs

# The search for the rate held, or the fixed levels of campaigns before it. A campaign with both is read by the first.
OPEN_LOOP = ("slo", "server")


@dataclass(frozen=True)
class Shape:
    """
    One replica of a target, measured alone on `cores` cores, and on one GPU if `gpu`.

    `rps` is the highest rate within the limits, as the median over blocks; `low` is its lower bound. Both are None if
    no measured rate is within the limits; `why` has the reason. `unbounded` means that the highest offered rate was
    still within the limits. `pss_mib` and `peak_mib` are by role, the front last. `thin_rps` is the capacity of one
    front alone, if it is known; fronts are then counted apart from the other roles.
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
        """Whether the shape may be recommended."""
        return self.low is not None and not self.why


def shapes(campaign: Campaign, needs: Needs) -> list[Shape]:
    """Return every target that serves this API, in the order of the campaign, without the A/A twin."""
    runs, facts = campaign.runs, campaign.manifest["targets"]
    offered = runs[runs.scenario.isin(OPEN_LOOP) & (runs.route == needs.route)]
    first = next((name for name in OPEN_LOOP if (offered.scenario == name).any()), OPEN_LOOP[0])
    rows = offered[(offered.scenario == first) & ~offered.refused.astype(bool)]
    names = [name for name in campaign.targets if facts[name].get("ingest", True)]
    measured = [_measure_shape(campaign, name, rows[rows.target == name], needs) for name in names]
    return [_add_thin_front(shape, measured) for shape in measured]


def _measure_shape(campaign: Campaign, name: str, rows: pd.DataFrame, needs: Needs) -> Shape:
    facts, cores = campaign.manifest["targets"][name], max(1, len(campaign.manifest["pinning"]["server"]))
    base = Shape(
        target=name,
        title=str(facts["title"]),
        precision=str(facts["precision"]),
        cores=cores,
        pss_mib=_split_by_role(rows, "pss"),
        peak_mib=_split_by_role(rows, "peak"),
        device=str(facts.get("device", "")),
        gpu=name in campaign.on_gpu,
    )
    if rows.empty:
        return replace(base, why="not measured: no sound open-loop row of this route")
    results = [_find_held(campaign, name, rows, column, limit) for column, limit in needs.limits.items()]
    held = [result for result in results if result is not None]
    if len(held) < len(results):
        return replace(base, why=f"nothing measured fits: {_describe_lowest_rate(rows, needs)}")
    rps, low, unbounded, cpu_ms = min(held, key=lambda result: result.low)
    why = _explain_exclusion(facts)
    if needs.vcpu is not None and needs.vcpu < cores:
        why = why or f"not measured on fewer than {cores} core{'s' * (cores > 1)}"
    if not base.pss_mib:
        why = why or "not measured: its memory was not seen"
    return replace(base, rps=rps, low=low, unbounded=unbounded, cpu_ms=cpu_ms, why=why)


class _Held(NamedTuple):
    rps: float
    low: float
    unbounded: bool
    cpu_ms: float | None


def _find_held(campaign: Campaign, name: str, rows: pd.DataFrame, column: str, limit_ms: float) -> _Held | None:
    """Return what a target held within a limit in rows of one scenario and route; None where a block held nothing."""
    route = str(rows.route.iloc[0])
    if rows.scenario.iloc[0] == "slo":
        rate = rate_within(campaign, name, route, column, limit_ms)
        if rate is None or not rate.low:
            return None
        at = rows[rows.offered_rps.between(0.99 * rate.low, 1.01 * rate.rps)]
        return _Held(rate.rps, rate.low, rate.high is None, _median_cpu_ms(at))
    capacity = capacity_within(campaign, name, route, column, limit_ms)
    if capacity is None:
        return None
    at = rows[rows.load_percent == capacity.percent]
    return _Held(capacity.rps, capacity.low, bool(capacity.percent == rows.load_percent.max()), _median_cpu_ms(at))


def _median_cpu_ms(rows: pd.DataFrame) -> float | None:
    return statistics.median(rows.cpu_ms_per_req.dropna().tolist())


def _explain_exclusion(facts: Mapping[str, Any]) -> str:
    """Return why a target is never recommended; "" if it may be."""
    if facts["precision"] == "pseudo":
        return "no model runs: never recommended"
    return "a peer: shown, never recommended" if facts["peer"] else ""


def _describe_lowest_rate(rows: pd.DataFrame, needs: Needs) -> str:
    """Return the latencies at the lowest offered rate, in words."""
    lowest = rows[rows.load_percent == rows.load_percent.min()]
    latencies = [
        f"{COLUMNS[column]} is {lowest[column].median():,.0f} ms"
        if lowest[column].notna().any()
        else "too few samples"
        for column in needs.limits
    ]
    return f"at its lowest rate, {lowest.offered_rps.median():,.0f} a second, {' and '.join(latencies)}"


def _split_by_role(rows: pd.DataFrame, kind: str) -> dict[str, float]:
    """
    Return MiB by role, the maximum over the rows: of PSS for `kind` "pss", else of the peak RSS.

    Rows have sums over the roles. The sum is divided in proportion to the steady RSS of each role.
    """
    total = rows.pss_mib.max() if kind == "pss" else rows.rss_peak_mib.max()
    texts = rows.rss_roles_mib[rows.rss_roles_mib != ""]
    if pd.isna(total) or texts.empty:
        return {}
    steady = {name: float(mib) for name, _, mib in (pair.partition("=") for pair in str(texts.iloc[-1]).split())}
    return {name: float(total) * mib / sum(steady.values()) for name, mib in steady.items()}


def _add_thin_front(shape: Shape, candidates: list[Shape]) -> Shape:
    """
    Return the shape with `thin_rps`, the capacity of its front without a model; unchanged if that is not known.

    The floor is the same gateway without a model. The CPU time of a front is at most the floor's, plus the
    difference between the split shape and the monolith of the same runtime and device. Capacity is inversely
    proportional to CPU time. Without floor or monolith each replica keeps a front of its own, as it was measured.
    """
    floor = next((other for other in candidates if other.precision == "pseudo"), None)
    monos = (other for other in candidates if other.target.partition(SEPARATOR)[0] == "onnx_py")
    mono = next((other for other in monos if other.device == shape.device), None)
    if len(shape.pss_mib) < 2 or not (shape.cpu_ms and floor and floor.low and floor.cpu_ms and mono and mono.cpu_ms):
        return shape
    front_ms = floor.cpu_ms + max(0.0, shape.cpu_ms - mono.cpu_ms)
    return replace(shape, thin_rps=floor.low * floor.cpu_ms / front_ms)
