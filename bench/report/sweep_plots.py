"""Plots of the sweep: throughput and latency by concurrency."""

from __future__ import annotations

import math

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.report.panels import ROUTES, closed, columns, concurrency_axis, legend, served
from bench.report.style import Look, looks
from bench.report.summary import Campaign


def throughput(campaign: Campaign) -> Figure | None:
    """Requests a second by concurrency; the floor without a model is written, not drawn, where it is far above."""
    routes = served(campaign)
    if not routes:
        return None
    figure, panels = columns(len(routes), 5.4, 4.2)
    style = looks(campaign.targets)
    for axes, route in zip(panels, routes, strict=True):
        lines = closed(campaign, route)
        top = lines[lines.precision != "pseudo"].rps.max()
        axes.set_title(ROUTES[route])
        for target, sweep in lines.groupby(level=0, sort=False):
            if sweep.rps.max() <= 1.6 * top or math.isnan(top):
                _sweep_line(axes, str(target), sweep, style[str(target)])
            else:
                _off_scale(axes, str(target), sweep)
        concurrency_axis(axes, sorted(lines.concurrency.unique()))
        axes.set_ylim(0, axes.get_ylim()[1] * 1.06)
        axes.set_ylabel("requests per second (validated 2xx)")
    legend(figure, panels)
    return figure


def _sweep_line(axes: Axes, target: str, sweep: pd.DataFrame, look: Look) -> None:
    ordered = sweep.sort_values("concurrency")
    axes.plot(
        ordered.concurrency,
        ordered.rps,
        look.dash,
        color=look.colour,
        marker=look.marker,
        ms=5.5,
        lw=1.9,
        label=target,
    )
    if ordered.rps_low.notna().all():
        axes.fill_between(
            ordered.concurrency.astype(float),
            ordered.rps_low.astype(float),
            ordered.rps_high.astype(float),
            color=look.colour,
            alpha=0.15,
            lw=0,
        )


def _off_scale(axes: Axes, target: str, sweep: pd.DataFrame) -> None:
    text = f"{target}, the floor without a model,\nis off this scale: {sweep.rps.min():,.0f}–{sweep.rps.max():,.0f}/s"
    axes.text(0.02, 0.98, text, transform=axes.transAxes, ha="left", va="top", fontsize=8, color="#777777")


def latency(campaign: Campaign) -> Figure | None:
    """p50, p95 and p99 of every target, one panel per route and concurrency, on one logarithmic axis."""
    routes = served(campaign)
    if not routes:
        return None
    levels = sorted({c for route in routes for c in closed(campaign, route).concurrency.unique()})
    shown = [name for name in campaign.targets if any(name in closed(campaign, route).index for route in routes)]
    size = (3.1 * len(levels) + 1.2, (0.36 * len(shown) + 1.0) * len(routes) + 0.5)
    figure, grid = plt.subplots(
        len(routes), len(levels), figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    style = looks(campaign.targets)
    for route, row in zip(routes, grid, strict=True):
        for level, axes in zip(levels, row, strict=True):
            _latency_panel(axes, campaign.lines("closed", route, int(level)), shown, style)
            axes.set_title(f"{ROUTES[route].removeprefix('POST ')} · c = {level:g}")
    for axes in grid[-1]:
        axes.set_xlabel("service time, ms (log scale)")
    _percentile_legend(figure)
    return figure


def _latency_panel(axes: Axes, lines: pd.DataFrame, shown: list[str], style: dict[str, Look]) -> None:
    for place, target in enumerate(shown):
        if target not in lines.index or math.isnan(lines.rps[target]):
            continue
        line, colour = lines.loc[target], style[target].colour
        points = [(line.p50_ms, "o", 6.5), (line.p95_ms, "D", 5), (line.p99_ms, "|", 10)]
        known = [(x, marker, size) for x, marker, size in points if pd.notna(x)]
        if known:
            axes.plot([known[0][0], known[-1][0]], [place, place], color=colour, lw=2, alpha=0.55)
        for x, marker, size in known:
            axes.plot(x, place, marker, color=colour, ms=size, mew=2 if marker == "|" else 0)
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_yticks(range(len(shown)), shown)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")


def _percentile_legend(figure: Figure) -> None:
    handles = [
        Line2D([], [], ls="", marker=marker, ms=size, color="#555555", mew=2 if marker == "|" else 0)
        for marker, size in (("o", 6.5), ("D", 5), ("|", 10))
    ]
    labels = ["p50", "p95 (130 samples or more)", "p99 (662 samples or more)"]
    figure.legend(handles, labels, loc="outside lower center", ncols=3)


def latency_vs_throughput(campaign: Campaign) -> Figure | None:
    """p95 against requests a second, a point per concurrency; right and down is better. The floor is left out."""
    routes = [route for route in served(campaign) if not _traded(campaign, route).empty]
    if not routes:
        return None
    figure, panels = columns(len(routes), 5.4, 4.2)
    style = looks(campaign.targets)
    for axes, route in zip(panels, routes, strict=True):
        lines = _traded(campaign, route)
        for target, sweep in lines.groupby(level=0, sort=False):
            look, ordered = style[str(target)], sweep.sort_values("concurrency")
            axes.loglog(
                ordered.rps,
                ordered.p95_ms,
                look.dash,
                color=look.colour,
                marker=look.marker,
                ms=5.5,
                lw=1.7,
                label=target,
            )
        levels = ", ".join(f"{c:g}" for c in sorted(lines.concurrency.unique()))
        axes.set_title(f"{ROUTES[route]} · c = {levels} upwards")
        _trade_axes(axes)
    legend(figure, panels)
    return figure


def _traded(campaign: Campaign, route: str) -> pd.DataFrame:
    lines = closed(campaign, route)
    return lines[lines.p95_ms.notna() & (lines.precision != "pseudo")]


def _trade_axes(axes: Axes) -> None:
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("requests per second (log scale)")
    axes.set_ylabel("p95 service time, ms (log scale)")
