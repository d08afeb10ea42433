"""Shared parts of the plots: panels, axes, legends, and the selection of summary lines."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, FuncFormatter, LogLocator, NullFormatter

from bench.analysis.cells import LOADS
from bench.analysis.summary import Campaign
from bench.report.plots.style import Look

LABEL_RISES = (7, -15, 20, -28)  # points above the mark
ROUTES = {"search": "POST /v1/search", "embeddings": "POST /v1/embeddings"}


def closed(campaign: Campaign, route: str) -> pd.DataFrame:
    """Return the summary lines of one route's sweep, without the twin; a refused cell has no number."""
    return _drop_unmeasured(campaign.lines("closed", route), "rps")


def drawable(campaign: Campaign, scenario: str, route: str, column: str) -> pd.DataFrame:
    """
    Return the summary lines of a scenario by load, without the pseudo target and targets without a value in `column`.

    A refused cell has no number, so that a line breaks at it.
    """
    lines = campaign.lines(scenario, route)
    return _drop_unmeasured(lines[lines.precision != "pseudo"], column).sort_values(LOADS, kind="stable")


def _drop_unmeasured(lines: pd.DataFrame, column: str) -> pd.DataFrame:
    """Return the lines of the targets that have any value in the column."""
    return lines[lines.index.isin(lines.index[lines[column].notna()])]


def served(campaign: Campaign) -> list[str]:
    """Return the routes with a sound closed-loop cell of any target."""
    return [route for route in ROUTES if not closed(campaign, route).empty]


def columns(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """Return a figure with a row of panels, each `width` by `height` inches."""
    figure, axes = plt.subplots(1, count, figsize=(width * count, height), squeeze=False, layout="constrained")
    return figure, list(axes[0])


def load_axis(axes: Axes, values: list[float], label: str) -> None:
    """Make the x axis logarithmic, with a tick at each measured load only."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(label)


def thousands() -> Formatter:
    """Return a tick formatter that writes 1,000 instead of 10³."""
    return FuncFormatter(lambda value, _: f"{value:,g}")


def log_axes(axes: Axes, which: str = "xy") -> None:
    """Make axes logarithmic, with plain numbers at 1, 2 and 5."""
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        if name in which:
            axes.set(**{f"{name}scale": "log"})
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(thousands())
            axis.set_minor_formatter(NullFormatter())


def rate_axis(axes: Axes, campaign: Campaign, room: float) -> None:
    """Scale the y axis from zero; logarithmically if a target ran on a GPU, which would dwarf all others."""
    if campaign.on_gpu:
        log_axes(axes, "y")
    else:
        axes.set_ylim(0, room * axes.get_ylim()[1])


def line(axes: Axes, x: pd.Series[float], y: pd.Series[float], look: Look, label: str) -> None:
    """Draw one target's line in its style; it breaks at points without a number."""
    (artist,) = axes.plot(x, y, look.dash, color=look.colour, lw=1.9, label=label)
    artist.set(marker=look.marker, markersize=6.5, markeredgecolor="white", markeredgewidth=0.6)


def band(axes: Axes, x: pd.Series[float], low: pd.Series[float], high: pd.Series[float], look: Look) -> None:
    """Shade the interval of a line, where its points have one; draw that of a point between two gaps as a bar."""
    across, bottom, top = (series.astype(float).to_numpy() for series in (x, low, high))
    axes.fill_between(across, bottom, top, color=look.colour, alpha=0.15, lw=0)
    axes.vlines(across, bottom, top, color=look.colour, alpha=0.5, lw=1.2)


def legend(figure: Figure, panels: list[Axes], max_columns: int = 7) -> None:
    """Draw one legend below the panels, with each target once."""
    entries = {
        label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(entries.values()),
        list(entries),
        loc="outside lower center",
        ncols=min(len(entries), max_columns),
        handlelength=2.6,
    )


def target_axis(axes: Axes, names: list[str]) -> None:
    """Label the y axis with targets, from the top down."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def bar_axis(axes: Axes, names: list[str], widest: float) -> None:
    """Label the y axis with targets, and leave room for a number right of the widest bar."""
    target_axis(axes, names)
    axes.set_xlim(0, 1.16 * widest)


def label_points(axes: Axes, points: Sequence[tuple[float, float, str]]) -> None:
    """Write a text beside each point (x, y, text), in turn above and below, so that near ones do not overlap."""
    for number, (x, y, text) in enumerate(sorted(points)):
        rise = LABEL_RISES[number % len(LABEL_RISES)]
        axes.annotate(text, (x, y), xytext=(7, rise), textcoords="offset points", fontsize=8.5)
