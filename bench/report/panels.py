"""What the plots share: panels, axes, legends, and the lines of the summary they draw."""

from __future__ import annotations

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from bench.report.summary import Campaign

ROUTES = {"search": "POST /v1/search", "embeddings": "POST /v1/embeddings"}


def closed(campaign: Campaign, route: str) -> pd.DataFrame:
    """The sweep of one route, refused cells and the twin left out."""
    lines = campaign.lines("closed", route)
    return lines[lines.rps.notna()]


def served(campaign: Campaign) -> list[str]:
    """The routes that any target was measured on."""
    return [route for route in ROUTES if not closed(campaign, route).empty]


def columns(count: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A row of panels, each of this size in inches."""
    figure, axes = plt.subplots(1, count, figsize=(width * count, height), squeeze=False, layout="constrained")
    return figure, list(axes[0])


def concurrency_axis(axes: Axes, values: list[float]) -> None:
    """A logarithmic axis with a tick at each measured concurrency and nowhere else."""
    axes.set_xscale("log", base=2)
    axes.xaxis.set_major_locator(FixedLocator(values))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.set_xlabel("concurrency (requests in flight)")


def legend(figure: Figure, panels: list[Axes]) -> None:
    """One legend below the panels, each target once."""
    entries = {
        label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        list(entries.values()),
        list(entries),
        loc="outside lower center",
        ncols=min(len(entries), 7),
        handlelength=2.6,
    )


def bar_axis(axes: Axes, names: list[str], widest: float) -> None:
    """Targets from the top down, and room for a number right of the widest bar."""
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xlim(0, 1.16 * widest)
    axes.grid(visible=False, axis="y")
    axes.tick_params(axis="y", length=0)
