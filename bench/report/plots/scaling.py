"""The plot of scaling with cores: as threads, as processes, and split apart."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.summary import Campaign
from bench.report.plots.panels import columns, drawable, legend, line, load_axis, log_axes
from bench.report.plots.style import looks

IDEAL = "#A0A0A0"
DASHES = {"threads": "-", "processes": "--", "apart": "-."}


def draw_scaling(campaign: Campaign) -> Figure | None:
    """Draw texts per second by server cores, of passages in bulk and of questions; None for one number of cores."""
    lines = drawable(campaign, "cores", "embeddings", "texts_per_s").sort_values("cores", kind="stable")
    loads = {"Passages, 32 a request": lines[lines.batch.notna()], "Questions": lines[lines.batch.isna()]}
    drawn = {title: part for title, part in loads.items() if part.cores.nunique() > 1}
    if not drawn:
        return None
    figure, panels = columns(len(drawn), 6.4, 4.4)
    for axes, (title, part) in zip(panels, drawn.items(), strict=True):
        _draw_lines(axes, campaign, part)
        load_axis(axes, sorted(part.cores.unique()), "server cores")
        log_axes(axes, "y")
        axes.set_title(title)
        axes.set_ylabel("texts per second (log scale)")
    legend(figure, panels, max_columns=4)
    return figure


def _draw_lines(axes: Axes, campaign: Campaign, part: pd.DataFrame) -> None:
    """Draw a line for each target and arrangement, and behind it what the fewest cores would do so many times."""
    style = looks(campaign.targets)
    for (target, arrangement), curve in part.groupby([part.index, "arrangement"], sort=False):
        first = curve.dropna(subset=["texts_per_s"]).iloc[:1]
        if len(first) and arrangement == "threads":
            ideal = curve.cores * float(first.texts_per_s.iloc[0]) / float(first.cores.iloc[0])
            axes.plot(curve.cores, ideal, ":", color=IDEAL, lw=1.6, label="one core, so many times")
        look = replace(style[str(target)], dash=DASHES[str(arrangement)])
        line(axes, curve.cores, curve.texts_per_s, look, f"{target}, {arrangement}")
