"""Ratios of each target to the baseline, for each measure, paired by block."""

from __future__ import annotations

from dataclasses import dataclass

from bench.analysis import cells
from bench.analysis.cells import Key
from bench.analysis.summary import BASELINES, Campaign
from bench.statistics import Interval


@dataclass(frozen=True)
class Measure:
    """A column of a cell; `cell` is the key of the cell without the target."""

    title: str
    column: str
    cell: Key


@dataclass(frozen=True)
class Ratio:
    """A ratio to the baseline, above 1 if better, with its 95 % interval; None below three common blocks."""

    value: float
    bounds: Interval | None
    blocks: int = 0


@dataclass(frozen=True)
class Panel:
    """The ratios of every target to the baseline for one measure, and the A/A band `noise`."""

    measure: Measure
    baseline: str
    ratios: dict[str, Ratio]
    noise: float

    @property
    def cost(self) -> bool:
        """Whether lower values are better, so that the ratios are inverted."""
        return cells.lower_is_better(self.measure.column)


def measures(campaign: Campaign) -> list[Measure]:
    """Return the measures of the forest plot, at the headline loads of this campaign."""
    c = campaign.concurrency
    search, embeddings = (cells.key("", "closed", route, concurrency=c)[1:] for route in ("search", "embeddings"))
    listed = [
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
            middle = sizes[len(sizes) // 2]
            listed.append(Measure(title.format(middle), column, cells.key("", scenario, route, batch=middle)[1:]))
    return listed


def compared(campaign: Campaign, measure: Measure) -> Panel | None:
    """Return the ratios of the ranked targets to the first baseline with the measure; None if there are none."""
    rows, column = campaign.cells, measure.column
    names = [name for name in campaign.targets if _has_measure(campaign, measure, name)]
    baseline = next((name for name in BASELINES if name in names), None)
    if baseline is None:
        return None
    ratios = {}
    for name in names:
        judged = cells.compare(rows, (name, *measure.cell), baseline, column) if name != baseline else None
        if judged:
            bounds = judged.bounds
            if cells.lower_is_better(column):
                bounds = (1 / bounds[1], 1 / bounds[0]) if bounds else None
            ratio = 1 / judged.ratio if cells.lower_is_better(column) else judged.ratio
            ratios[name] = Ratio(ratio, bounds, _count_common(campaign, measure, name, baseline))
    blocks = max(len(cells.by_block(rows[(name, *measure.cell)], column)) for name in names)
    noise = cells.band(rows, (baseline, *measure.cell), column, blocks)
    return Panel(measure, baseline, ratios, noise or 0.0) if ratios else None


def _count_common(campaign: Campaign, measure: Measure, target: str, other: str) -> int:
    """Return the number of blocks in which both targets have the measure."""
    mine, theirs = (cells.by_block(campaign.cells[(name, *measure.cell)], measure.column) for name in (target, other))
    return len(mine.keys() & theirs.keys())


def _has_measure(campaign: Campaign, measure: Measure, target: str) -> bool:
    rows = campaign.cells.get((target, *measure.cell))
    return rows is not None and bool(rows.ranked.iloc[0]) and bool(cells.by_block(rows, measure.column))
