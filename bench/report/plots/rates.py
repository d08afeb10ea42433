"""Plots of offered load: latency by rate with the SLO, goodput under overload, and the benefit of a cache."""

from __future__ import annotations

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from bench import statistics
from bench.analysis.decisions import slos
from bench.analysis.summary import Campaign
from bench.report.plots.panels import ROUTES, columns, drawable, legend, line, log_axes
from bench.report.plots.style import INK, Look, looks
from bench.report.tables.results import ordered

SCENARIOS = ("slo", "server")
BIN = 1.08  # windows of `slo` whose rates differ by less are one point of the line
CEILING = 8  # times the SLO: above it a queue grows, and its latency says how long the window was


def draw_latency_by_rate(campaign: Campaign) -> Figure | None:
    """
    Draw the p99 from the intended send by offered rate: a dot per window, a line of medians and the SLO, by route.

    A line breaks where every window of a rate was refused. A bar is the 95 % interval over blocks. Peers are drawn.
    """
    panels = [(route, slo_ms) for route, slo_ms in slos(campaign) if len(_select_windows(campaign, route))]
    if not panels:
        return None
    figure, grid = columns(len(panels), 8.2 if len(panels) == 1 else 5.8, 4.6)
    style = looks(campaign.targets)
    for axes, (route, slo_ms) in zip(grid, panels, strict=True):
        windows = _select_windows(campaign, route)
        for target, own in windows.groupby("target", sort=False):
            _draw_windows(axes, own, style[str(target)], str(target))
        axes.axhline(slo_ms, color=INK, lw=1.2, ls=(0, (6, 3)), label=f"SLO: p99 ≤ {slo_ms:g} ms")
        log_axes(axes)
        axes.set_ylim(top=min(axes.get_ylim()[1], CEILING * slo_ms))
        axes.set_title(f"{ROUTES.get(route, route)} · p99")
        axes.set_xlabel("offered requests per second (Poisson, log scale)")
        axes.set_ylabel("p99 from the intended send, ms (log scale)")
    legend(figure, grid)
    return figure


def _select_windows(campaign: Campaign, route: str) -> pd.DataFrame:
    """Return the windows of a route's open loop by target and rate; a refused one has no p99. pseudo is left out."""
    runs = ordered(campaign, campaign.runs)
    windows = runs[runs.scenario.isin(SCENARIOS) & (runs.route == route) & (runs.precision != "pseudo")].copy()
    windows = windows[windows.offered_rps.notna()]
    windows.loc[windows.refused, "p99_ms"] = np.nan
    steps = np.round(np.log(windows.offered_rps) / np.log(BIN))
    windows["level"] = windows.load_percent.where(windows.scenario == "server", steps)
    sound = windows.groupby("target", sort=False).p99_ms.transform("count") > 0
    return windows[sound].sort_values("offered_rps", kind="stable")


def _draw_windows(axes: Axes, windows: pd.DataFrame, look: Look, target: str) -> None:
    axes.plot(windows.offered_rps, windows.p99_ms, look.marker, color=look.colour, ms=4.5, mew=0, alpha=0.6)
    levels = windows.groupby(["scenario", "level"]).agg(rps=("offered_rps", "median"), p99=("p99_ms", "median"))
    levels = levels.sort_values("rps")
    line(axes, levels.rps, levels.p99, look, target)
    for _, level in windows.groupby(["scenario", "level"]):
        blocks = level.dropna(subset=["p99_ms"]).groupby("block").p99_ms.median()
        bounds = statistics.interval(blocks.tolist())
        if bounds:
            axes.plot([level.offered_rps.median()] * 2, bounds, "-_", color=look.colour, lw=1.1, ms=5, alpha=0.8)


def draw_goodput(campaign: Campaign) -> Figure | None:
    """
    Draw answers within the SLO by offered rate, both in % of the closed-loop maximum, up to overload.

    The overload is a mark without a line, because nothing was offered between it and the highest level.
    """
    parts = [drawable(campaign, name, route, "goodput_rps") for name in ("server", "overload") for route in ROUTES]
    lines = pd.concat(parts)
    drawn = lines[lines.goodput_rps.notna()]
    lines = lines[lines.index.isin(drawn.index[drawn.load_percent > 100])]
    if lines.empty:
        return None
    lines["kept"] = lines.goodput_rps / lines.offered_rps * lines.load_percent
    figure, (axes,) = columns(1, 8.2, 4.2)
    style = looks(campaign.targets)
    for target, curve in lines.groupby(level=0, sort=False):
        look, over = style[str(target)], curve[curve.load_percent > 100]
        below = curve[curve.load_percent <= 100]
        line(axes, below.load_percent, below.kept, look, str(target))
        axes.plot(over.load_percent, over.kept, look.marker, color=look.colour, ms=9, mec="white")
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
    lines = lines[lines.index.isin(lines.index[(lines.repeat_percent == 0) & lines.rps.notna()])]
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
