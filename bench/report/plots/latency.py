"""The plot of service times: p50, p95 and p99 of every target at every concurrency."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.analysis.summary import Campaign
from bench.report.plots.panels import closed, served, target_axis, thousands
from bench.report.plots.style import Look, looks

POINTS = {"p50": ("o", 6.5), "p95": ("D", 5), "p99": ("|", 10)}
# A narrower figure would cut off its legend.
LEGEND_INCHES = 6.6


def draw_latency(campaign: Campaign) -> Figure | None:
    """Draw p50, p95 and p99 of every target: a panel per route and concurrency, with a common logarithmic axis."""
    routes = served(campaign)
    if not routes:
        return None
    levels = sorted({c for route in routes for c in closed(campaign, route).concurrency.unique()})
    shown = [name for name in campaign.targets if any(name in closed(campaign, route).index for route in routes)]
    size = (max(2.6 * len(levels) + 1.4, LEGEND_INCHES), (0.34 * len(shown) + 1.0) * len(routes) + 0.5)
    figure, grid = plt.subplots(
        len(routes), len(levels), figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    style = looks(campaign.targets)
    for route, row in zip(routes, grid, strict=True):
        for level, axes in zip(levels, row, strict=True):
            _draw_panel(axes, campaign.lines("closed", route, int(level)), shown, style)
            axes.set_title(f"{route} · c = {level:g}")
    for axes in grid[-1]:
        axes.set_xlabel("service time, ms (log scale)")
    _draw_legend(figure)
    return figure


def _draw_panel(axes: Axes, lines: pd.DataFrame, shown: list[str], style: dict[str, Look]) -> None:
    for place, target in enumerate(shown):
        if target not in lines.index or math.isnan(lines.rps[target]):
            continue
        colour = style[target].colour
        points = [(lines[f"{name}_ms"][target], *POINTS[name]) for name in POINTS]
        points = [point for point in points if pd.notna(point[0])]
        if points:
            axes.plot([points[0][0], points[-1][0]], [place, place], color=colour, lw=2, alpha=0.55)
        for x, marker, size in points:
            axes.plot(x, place, marker, color=colour, ms=size, mew=2 if marker == "|" else 0)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(thousands())
    target_axis(axes, shown)


def _draw_legend(figure: Figure) -> None:
    handles = [
        Line2D([], [], ls="", marker=marker, ms=size, color="#555555", mew=2 if marker == "|" else 0)
        for marker, size in POINTS.values()
    ]
    labels = ["p50", "p95 (130 samples or more)", "p99 (662 samples or more)"]
    figure.legend(handles, labels, loc="outside lower center", ncols=3)
