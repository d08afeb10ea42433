"""The forest plot: each target's ratio to the baseline, by measure, with intervals and the A/A band."""

from __future__ import annotations

import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from bench.analysis.ratios import Panel, compared, measures
from bench.analysis.summary import Campaign
from bench.report.plots.panels import target_axis
from bench.report.plots.style import INK, Look, looks
from bench.statistics import EQUIVALENT

WIDE, BAND = 3, "#D9D9D9"


def draw_forest(campaign: Campaign) -> Figure | None:
    """Draw a panel per measure that two or more targets have; ±5 % is dotted, the A/A band is grey."""
    panels = [panel for measure in measures(campaign) if (panel := compared(campaign, measure))]
    if not panels:
        return None
    names = [name for name in campaign.targets if any(name in panel.ratios for panel in panels)]
    wide = 2 if len(panels) == 4 else min(len(panels), WIDE)
    tall = math.ceil(len(panels) / wide)
    size = (3.7 * wide + 0.8, (0.42 * len(names) + 1.25) * tall + 0.4)
    figure, grid = plt.subplots(tall, wide, figsize=size, sharey=True, squeeze=False, layout="constrained")
    style = looks(campaign.targets)
    for axes, panel in zip(grid.flat, panels, strict=False):
        _draw_panel(axes, panel, names, style)
    for axes in list(grid.flat)[len(panels) :]:
        axes.remove()
    _draw_legend(figure, panels)
    return figure


def _draw_legend(figure: Figure, panels: Sequence[Panel]) -> None:
    entries: dict[str, Artist] = {"±5 %": Line2D([], [], ls=":", color=INK)}
    if any(ratio.bounds for panel in panels for ratio in panel.ratios.values()):
        entries["95 % interval"] = Line2D([], [], marker="|", color=INK, lw=1.2)
    if any(ratio.bounds is None for panel in panels for ratio in panel.ratios.values()):
        entries["fewer than three blocks: no interval"] = Line2D([], [], ls="", marker="o", mfc="white", mec=INK)
    if any(panel.noise for panel in panels):
        entries["A/A band: spread of a target against itself"] = Patch(color=BAND)
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=2)


def _draw_panel(axes: Axes, panel: Panel, names: list[str], style: dict[str, Look]) -> None:
    axes.axvspan(1 - panel.noise, 1 + panel.noise, color=BAND, lw=0, zorder=0)
    axes.axvline(1, color=INK, lw=0.9, zorder=1)
    for edge in (1 - EQUIVALENT, 1 + EQUIVALENT):
        axes.axvline(edge, color=INK, lw=0.9, ls=":", zorder=1)
    for name, ratio in panel.ratios.items():
        place, look = names.index(name), style[name]
        face, border = (look.colour, "white") if ratio.bounds else ("white", look.colour)
        axes.plot(ratio.value, place, look.marker, mfc=face, ms=7.5, mec=border, mew=0.6 if ratio.bounds else 1.3)
        if ratio.bounds:
            axes.plot(ratio.bounds, [place, place], "|-", color=INK, lw=1.2, ms=6, mew=1.2)
        axes.annotate(
            f"{ratio.value:.2f}× (n={ratio.blocks})",
            (ratio.value, place),
            xytext=(0, 7),
            textcoords="offset points",
            ha="center",
            fontsize=8,
        )
    target_axis(axes, names)
    axes.set_ylim(len(names) - 0.5, -0.85)
    _scale_axis(axes, [bound for ratio in panel.ratios.values() for bound in (ratio.value, *(ratio.bounds or ()))])
    axes.set_title(panel.measure.title)
    axes.set_xlabel(f"times {'less' if panel.cost else 'more'} than {panel.baseline} (log scale)")


def _scale_axis(axes: Axes, values: list[float]) -> None:
    axes.set_xscale("log")
    low, high = min(0.85, *values), max(1.18, *values)
    room = (high / low) ** 0.1
    axes.set_xlim(low / room, high * room)
    axes.xaxis.set_major_locator(
        LogLocator(subs=(1, 2, 5)) if high / low > 3 else LogLocator(subs=(0.8, 1, 1.2, 1.5, 2, 2.5))
    )
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}×"))
    axes.xaxis.set_minor_formatter(NullFormatter())
