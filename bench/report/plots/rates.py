"""Plots of offered load: latency by rate with the SLO, goodput under overload, and the benefit of a cache."""

from __future__ import annotations

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from bench.analysis.summary import Campaign
from bench.report.plots.panels import ROUTES, columns, drawable, legend, line, log_axes
from bench.report.plots.style import INK, looks

PERCENTILES = {"p50_ms": "p50", "p99_ms": "p99"}


def draw_latency_by_rate(campaign: Campaign) -> Figure | None:
    """Draw p50 and p99 from the intended send by offered rate, a row per route, with the SLO in the p99 panel."""
    rates = {route: drawable(campaign, "server", route, "offered_rps") for route in ROUTES}
    rates = {route: lines for route, lines in rates.items() if not lines.empty}
    if not rates:
        return None
    size = (10.8, 3.9 * len(rates) + 0.3)
    figure, grid = plt.subplots(
        len(rates), 2, figsize=size, sharex="row", sharey="row", squeeze=False, layout="constrained"
    )
    style = looks(campaign.targets)
    for row, (route, lines) in zip(grid, rates.items(), strict=True):
        for axes, (column, name) in zip(row, PERCENTILES.items(), strict=True):
            for target, curve in lines.groupby(level=0, sort=False):
                line(axes, curve.offered_rps, curve[column], style[str(target)], str(target))
            log_axes(axes)
            axes.set_title(f"{ROUTES[route]} · {name}")
            axes.set_xlabel("offered requests per second (Poisson, log scale)")
        row[0].set_ylabel("latency from the intended send, ms")
        _draw_slo(row[1], campaign, route)
    legend(figure, list(grid.flat))
    return figure


def _draw_slo(axes: Axes, campaign: Campaign, route: str) -> None:
    for slo_ms in campaign.lines("server", route).slo_ms.dropna().unique():
        axes.axhline(slo_ms, color=INK, lw=1.2, ls=(0, (6, 3)), label=f"SLO: p99 ≤ {slo_ms:g} ms")


def draw_goodput(campaign: Campaign) -> Figure | None:
    """Draw answers within the SLO by offered rate, both in % of the closed-loop maximum, up to overload."""
    parts = [drawable(campaign, name, route, "goodput_rps") for name in ("server", "overload") for route in ROUTES]
    lines = pd.concat(parts)
    lines = lines[lines.index.duplicated(keep=False)]
    if lines.empty or lines.load_percent.max() <= 100:
        return None
    lines["kept"] = lines.goodput_rps / lines.offered_rps * lines.load_percent
    figure, (axes,) = columns(1, 8.2, 4.2)
    style = looks(campaign.targets)
    for target, curve in lines.groupby(level=0, sort=False):
        line(axes, curve.load_percent, curve.kept, style[str(target)], str(target))
    axes.plot(
        [0, 100, lines.load_percent.max()],
        [0, 100, 100],
        color=INK,
        lw=1.2,
        ls=(0, (6, 3)),
        label="all answered in time",
    )
    axes.set_ylim(-3, max(108, 1.05 * lines.kept.max()))
    axes.set_xlim(0, 1.03 * lines.load_percent.max())
    axes.set_xlabel("offered rate, % of the closed-loop maximum")
    axes.set_ylabel("answered within the SLO, % of that maximum")
    axes.set_title("Goodput by offered rate")
    legend(figure, [axes])
    return figure


def draw_cache(campaign: Campaign) -> Figure | None:
    """Draw requests per second by the share of repeated texts, relative to each target's rate without repeats."""
    route = next((route for route in ROUTES if len(campaign.lines("cache", route))), "search")
    lines = drawable(campaign, "cache", route, "rps")
    lines = lines[lines.concurrency == lines.concurrency.max()]  # a table has the cell with one request in flight
    lines = lines[lines.index.isin(lines.index[lines.repeat_percent == 0])]
    if lines.empty:
        return None
    figure, (axes,) = columns(1, 8.2, 4.2)
    style = looks(campaign.targets)
    for target, curve in lines.groupby(level=0, sort=False):
        line(axes, curve.repeat_percent / 100, curve.rps / curve.rps.iloc[0], style[str(target)], str(target))
    axes.axhline(1, color=INK, lw=0.9)
    axes.xaxis.set_major_formatter(PercentFormatter(1))
    axes.set_xticks(np.unique(lines.repeat_percent) / 100)
    axes.set_ylim(0, 1.08 * axes.get_ylim()[1])
    axes.set_xlabel("share of requests that repeat an earlier text")
    axes.set_ylabel("times the rate without repeats")
    axes.set_title(f"{ROUTES[route]} · benefit of repeats")
    legend(figure, [axes])
    return figure
