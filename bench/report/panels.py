"""What the plots share: panels, axes, legends, and the lines of the summary they draw."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import Formatter, FuncFormatter, LogLocator, NullFormatter

from bench.report.style import Look
from bench.report.summary import Campaign

ROUTES = {"search": "POST /v1/search", "embeddings": "POST /v1/embeddings"}


def closed(campaign: Campaign, route: str) -> pd.DataFrame:
    """The sweep of one route, refused cells and the twin left out."""
    lines = campaign.lines("closed", route)
    return lines[lines.rps.notna()]


def drawable(campaign: Campaign, scenario: str, route: str, column: str) -> pd.DataFrame:
    """The lines of a scenario that have this column, by load; the floor without a model is left out."""
    lines = campaign.lines(scenario, route)
    known = lines[lines[column].notna() & (lines.precision != "pseudo")]
    return known.sort_values(["batch", "percent"], kind="stable")


def served(campaign: Campaign) -> list[str]:
    """The routes that any target was measured on."""
    return [route for route in ROUTES if not closed(campaign, route).empty]


def columns(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A row of panels, each of this size in inches."""
    figure, axes = plt.subplots(1, count, figsize=(width * count, height), squeeze=False, layout="constrained")
    return figure, list(axes[0])


def load_axis(axes: Axes, values: list[float], label: str) -> None:
    """A logarithmic axis with a tick at each measured load and nowhere else."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(values, [f"{value:g}" for value in values])
    axes.set_xticks([], minor=True)
    axes.set_xlabel(label)


def thousands() -> Formatter:
    """1,000 and not 10³, on any axis."""
    return FuncFormatter(lambda value, _: f"{value:,g}")


def log_axes(axes: Axes, which: str = "xy") -> None:
    """Logarithmic axes with plain numbers at 1, 2 and 5."""
    for name, axis in (("x", axes.xaxis), ("y", axes.yaxis)):
        if name in which:
            axes.set(**{f"{name}scale": "log"})
            axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
            axis.set_major_formatter(thousands())
            axis.set_minor_formatter(NullFormatter())


def rate_axis(axes: Axes, campaign: Campaign, room: float) -> None:
    """Rates from zero up; logarithmic where some ran on a GPU, beside which all others would lie on the floor."""
    if campaign.on_gpu:
        log_axes(axes, "y")
    else:
        axes.set_ylim(0, room * axes.get_ylim()[1])


def line(axes: Axes, x: pd.Series[float], y: pd.Series[float], look: Look, label: str) -> None:
    """One target's line, in its look."""
    (drawn,) = axes.plot(x, y, look.dash, color=look.colour, lw=1.9, label=label)
    drawn.set(marker=look.marker, markersize=6.5, markeredgecolor="white", markeredgewidth=0.6)


def band(axes: Axes, x: pd.Series[float], low: pd.Series[float], high: pd.Series[float], look: Look) -> None:
    """The interval of a line, shaded, where every point has one."""
    if low.notna().all() and high.notna().all():
        across, bottom, top = (series.astype(float) for series in (x, low, high))
        axes.fill_between(across, bottom, top, color=look.colour, alpha=0.15, lw=0)


def legend(figure: Figure, panels: list[Axes], most: int = 7) -> None:
    """One legend below the panels, each target once."""
    entries = {
        label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(entries.values()),
        list(entries),
        loc="outside lower center",
        ncols=min(len(entries), most),
        handlelength=2.6,
    )


def target_axis(axes: Axes, names: list[str]) -> None:
    """Targets from the top down."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)


def bar_axis(axes: Axes, names: list[str], widest: float) -> None:
    """Targets from the top down, and room for a number right of the widest bar."""
    target_axis(axes, names)
    axes.set_xlim(0, 1.16 * widest)
