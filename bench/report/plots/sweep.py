"""The plot of the concurrency sweep: throughput by concurrency."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.analysis.summary import Campaign
from bench.report.plots.panels import (
    ROUTES,
    band,
    closed,
    columns,
    legend,
    line,
    load_axis,
    rate_axis,
    served,
)
from bench.report.plots.style import INK, Look, looks

CONCURRENCY = "concurrency (requests in flight)"
# Drawn above the target's line, which would hide a good fit.
USL_LINE: dict[str, Any] = {"ls": (0, (4, 2)), "color": INK, "lw": 1.0, "zorder": 5}


def draw_throughput(campaign: Campaign) -> Figure | None:
    """
    Draw requests per second by concurrency with intervals, and a dashed fit of the Universal Scalability Law.

    The pseudo target is only named if it is far above the other targets on a linear axis.
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
                _draw_sweep(axes, str(target), sweep, style[str(target)])
                fitted |= _draw_usl(axes, campaign, str(target), route)
            else:
                _draw_off_scale(axes, str(target), sweep)
        load_axis(axes, sorted(lines.concurrency.unique()), CONCURRENCY)
        rate_axis(axes, campaign, 1.06)
        axes.set_ylabel("requests per second (validated 2xx)")
    if fitted:
        panels[0].add_line(Line2D([], [], **USL_LINE, label="USL fit"))
    legend(figure, panels)
    return figure


def _draw_sweep(axes: Axes, target: str, sweep: pd.DataFrame, look: Look) -> None:
    ordered = sweep.sort_values("concurrency")
    line(axes, ordered.concurrency, ordered.rps, look, target)
    band(axes, ordered.concurrency, ordered.rps_low, ordered.rps_high, look)


def _draw_usl(axes: Axes, campaign: Campaign, target: str, route: str) -> bool:
    """Draw the fitted curve over the measured concurrency; return False without a fit."""
    fit = campaign.usl(target, route) if hasattr(campaign, "usl") else None
    if fit is None:
        return False
    measured = closed(campaign, route).loc[[target]].concurrency
    levels = np.geomspace(measured.min(), measured.max(), 100)
    axes.plot(levels, fit.rps(levels), **USL_LINE)
    return True


def _draw_off_scale(axes: Axes, target: str, sweep: pd.DataFrame) -> None:
    text = f"{target}, the floor without a model,\nis off this scale: {sweep.rps.min():,.0f}–{sweep.rps.max():,.0f}/s"
    axes.text(0.02, 0.98, text, transform=axes.transAxes, ha="left", va="top", fontsize=8, color="#777777")
