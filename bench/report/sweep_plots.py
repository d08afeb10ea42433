"""Plots of the sweep: throughput by concurrency, and what it costs in latency."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.panels import ROUTES, band, closed, columns, legend, line, load_axis, log_axes, rate_axis, served
from bench.report.style import INK, Look, looks
from bench.report.summary import Campaign

CONCURRENCY = "concurrency (requests in flight)"
# Above a target's own line, which it would vanish under where it fits.
USL_LINE: dict[str, Any] = {"ls": (0, (4, 2)), "color": INK, "lw": 1.0, "zorder": 5}


def throughput(campaign: Campaign) -> Figure | None:
    """
    Requests a second by concurrency with intervals, and the Universal Scalability Law dashed where it fits.

    The floor without a model is written, not drawn, where it is far above on an axis from zero up.
    """
    routes = served(campaign)
    if not routes:
        return None
    figure, panels = columns(len(routes), 5.4, 4.2)
    style, fitted = looks(campaign.targets), False
    for axes, route in zip(panels, routes, strict=True):
        lines = closed(campaign, route)
        top = lines[lines.precision != "pseudo"].rps.max()
        axes.set_title(ROUTES[route])
        for target, sweep in lines.groupby(level=0, sort=False):
            if sweep.rps.max() <= 1.6 * top or math.isnan(top) or campaign.on_gpu:
                _sweep_line(axes, str(target), sweep, style[str(target)])
                fitted |= _usl(axes, campaign, str(target), route)
            else:
                _off_scale(axes, str(target), sweep)
        load_axis(axes, sorted(lines.concurrency.unique()), CONCURRENCY)
        rate_axis(axes, campaign, 1.06)
        axes.set_ylabel("requests per second (validated 2xx)")
    if fitted:
        panels[0].add_line(Line2D([], [], **USL_LINE, label="USL fit"))
    legend(figure, panels)
    return figure


def _sweep_line(axes: Axes, target: str, sweep: pd.DataFrame, look: Look) -> None:
    ordered = sweep.sort_values("concurrency")
    line(axes, ordered.concurrency, ordered.rps, look, target)
    band(axes, ordered.concurrency, ordered.rps_low, ordered.rps_high, look)


def _usl(axes: Axes, campaign: Campaign, target: str, route: str) -> bool:
    """Draw the fitted curve between the least and the most concurrency measured; False where there is no fit."""
    fit = campaign.usl(target, route) if hasattr(campaign, "usl") else None
    if fit is None:
        return False
    measured = closed(campaign, route).loc[[target]].concurrency
    levels = np.geomspace(measured.min(), measured.max(), 100)
    axes.plot(levels, fit.rps(levels), **USL_LINE)
    return True


def _off_scale(axes: Axes, target: str, sweep: pd.DataFrame) -> None:
    text = f"{target}, the floor without a model,\nis off this scale: {sweep.rps.min():,.0f}–{sweep.rps.max():,.0f}/s"
    axes.text(0.02, 0.98, text, transform=axes.transAxes, ha="left", va="top", fontsize=8, color="#777777")


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
            ordered = sweep.sort_values("concurrency")
            line(axes, ordered.rps, ordered.p95_ms, style[str(target)], str(target))
        levels = ", ".join(f"{c:g}" for c in sorted(lines.concurrency.unique()))
        axes.set_title(f"{ROUTES[route]} · c = {levels}, left to right" if len(levels) > 3 else ROUTES[route])
        log_axes(axes)
        axes.set_xlabel("requests per second (log scale)")
        axes.set_ylabel("p95 service time, ms (log scale)")
    legend(figure, panels)
    return figure


def _traded(campaign: Campaign, route: str) -> pd.DataFrame:
    lines = closed(campaign, route)
    return lines[lines.p95_ms.notna() & (lines.precision != "pseudo")]
