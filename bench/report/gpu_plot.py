"""The plot of the GPU: what each target that runs on one takes of its memory, and its energy for 1,000 texts."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.panels import ROUTES, bar_axis, columns
from bench.report.style import Look, looks
from bench.report.summary import Campaign

MEASURES = {
    "gpu_mem_mib": ("GPU memory", "MiB of the card's memory, the most in the window", "{:,.0f} MiB"),
    "gpu_j_per_1k_texts": ("Energy of the card", "joules for 1,000 texts", "{:,.1f} J"),
}


def gpu(campaign: Campaign) -> Figure | None:
    """A panel each for memory and energy at the headline concurrency; None where nothing ran on a card."""
    lines = _lines(campaign)
    known = [name for name in MEASURES if lines[name].notna().any()]
    if not known:
        return None
    figure, panels = columns(len(known), 5.4, 0.42 * len(lines) + 1.6)
    style = looks(campaign.targets)
    for axes, name in zip(panels, known, strict=True):
        title, label, words = MEASURES[name]
        _bars(axes, lines[name], style, words)
        axes.set_title(f"{title} at c = {campaign.concurrency}")
        axes.set_xlabel(label)
    return figure


def _lines(campaign: Campaign) -> pd.DataFrame:
    """The line of each target with a card, of search, or of embeddings where it has no search."""
    parts = [campaign.lines("closed", route, campaign.concurrency) for route in ROUTES]
    lines = pd.concat([part[part[list(MEASURES)].notna().any(axis=1)] for part in parts])
    lines = lines[~lines.index.duplicated()]
    return lines.loc[[name for name in campaign.targets if name in lines.index]]


def _bars(axes: Axes, values: pd.Series[float], style: dict[str, Look], words: str) -> None:
    widest = float(values.max())
    for place, (target, value) in enumerate(values.items()):
        if pd.notna(value):
            axes.barh(place, value, height=0.62, color=style[str(target)].colour)
            axes.text(value + 0.012 * widest, place, words.format(value), va="center", fontsize=8.5)
    bar_axis(axes, [str(name) for name in values.index], 1.1 * widest)
