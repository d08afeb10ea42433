"""How many times better than the baseline each target is, measure by measure, paired by block."""

from __future__ import annotations

from dataclasses import dataclass

from bench.report import cells
from bench.report.cells import Key
from bench.report.summary import BASELINES, Campaign
from bench.statistics import Interval


@dataclass(frozen=True)
class Measure:
    """What is compared: a column of one cell, of which the key leaves the target open."""

    title: str
    column: str
    cell: Key


@dataclass(frozen=True)
class Ratio:
    """How many times better than the baseline, with its 95 % interval where there are blocks enough."""

    value: float
    bounds: Interval | None


@dataclass(frozen=True)
class Panel:
    """One measure of every target against its baseline, and the A/A band; a cost is better when it is less."""

    measure: Measure
    baseline: str
    ratios: dict[str, Ratio]
    noise: float

    @property
    def cost(self) -> bool:
        """Whether the ratios are turned over."""
        return cells.lower_is_better(self.measure.column)


def measures(campaign: Campaign) -> list[Measure]:
    """What the forest compares, at the headline loads of this campaign."""
    c = campaign.concurrency
    search, embeddings = (("closed", route, c, "", "", "") for route in ("search", "embeddings"))
    made = [
        Measure(f"search · RPS at c = {c}", "rps", search),
        Measure(f"embeddings · RPS at c = {c}", "rps", embeddings),
        Measure("search · CPU a request", "cpu_ms_per_req", search),
        Measure("search · resident memory", "rss_steady_mib", search),
    ]
    for scenario, route, column, title in (
        ("offline", "embeddings", "texts_per_s", "offline · texts/s, {:g} a request"),
        ("rerank", "rerank", "pairs_per_s", "rerank · pairs/s, k = {:g}"),
    ):
        sizes = sorted(campaign.lines(scenario, route).dropna(subset=[column]).batch.unique())
        if sizes:
            at = sizes[len(sizes) // 2]
            made.append(Measure(title.format(at), column, (scenario, route, "", at, "", "")))
    return made


def compared(campaign: Campaign, measure: Measure) -> Panel | None:
    """Every ranked target against the first baseline that has the measure; None with nothing to compare."""
    rows, column = campaign.cells, measure.column
    known = [name for name in campaign.targets if _known(campaign, measure, name)]
    baseline = next((name for name in BASELINES if name in known), None)
    if baseline is None:
        return None
    ratios = {}
    for name in known:
        found = cells.compare(rows, (name, *measure.cell), baseline, column) if name != baseline else None
        if found:
            bounds = found.bounds
            if cells.lower_is_better(column):
                bounds = (1 / bounds[1], 1 / bounds[0]) if bounds else None
            ratios[name] = Ratio(1 / found.ratio if cells.lower_is_better(column) else found.ratio, bounds)
    blocks = max(len(cells.by_block(rows[(name, *measure.cell)], column)) for name in known)
    noise = cells.band(rows, (baseline, *measure.cell), column, blocks)
    return Panel(measure, baseline, ratios, noise or 0.0) if ratios else None


def _known(campaign: Campaign, measure: Measure, target: str) -> bool:
    rows = campaign.cells.get((target, *measure.cell))
    return rows is not None and bool(rows.ranked.iloc[0]) and bool(cells.by_block(rows, measure.column))
