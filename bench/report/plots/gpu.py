"""The GPU plot: memory of each target on a GPU, and energy per 1,000 texts."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.summary import Campaign
from bench.report.plots.panels import ROUTES, bar_axis, columns
from bench.report.plots.style import Look, looks

MEASURES = {
    "gpu_mem_mib": ("GPU memory", "MiB of the card's memory, maximum of the window", "{:,.0f} MiB"),
    "gpu_j_per_1k_texts": ("Energy of the card", "joules per 1,000 texts", "{:,.1f} J"),
}


def draw_gpu(campaign: Campaign) -> Figure | None:
    """Draw a panel each for memory and energy at the headline concurrency; None if no target ran on a GPU."""
    lines = _select_lines(campaign)
    measures = [name for name in MEASURES if lines[name].notna().any()]
    if not measures:
        return None
    figure, panels = columns(len(measures), 5.4, 0.42 * len(lines) + 1.6)
    style = looks(campaign.targets)
    for axes, name in zip(panels, measures, strict=True):
        title, label, template = MEASURES[name]
        _draw_bars(axes, lines[name], style, template)
        axes.set_title(f"{title} at c = {campaign.concurrency}")
        axes.set_xlabel(label)
    return figure


def _select_lines(campaign: Campaign) -> pd.DataFrame:
    """Return the summary line of each target on a GPU: of search, or of embeddings if it has no search."""
    parts = [campaign.lines("closed", route, campaign.concurrency) for route in ROUTES]
    lines = pd.concat([part[part[list(MEASURES)].notna().any(axis=1)] for part in parts])
    lines = lines[~lines.index.duplicated()]
    return lines.loc[[name for name in campaign.targets if name in lines.index]]


def _draw_bars(axes: Axes, values: pd.Series[float], style: dict[str, Look], template: str) -> None:
    widest = float(values.max())
    for place, (target, value) in enumerate(values.items()):
        if pd.notna(value):
            axes.barh(place, value, height=0.62, color=style[str(target)].colour)
            axes.text(value + 0.012 * widest, place, template.format(value), va="center", fontsize=8.5)
    bar_axis(axes, [str(name) for name in values.index], 1.1 * widest)
