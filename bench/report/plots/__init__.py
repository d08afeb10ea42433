"""The plots of a campaign, as PNG and SVG. Refused cells are in the ledger of the report and not drawn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from bench.analysis.summary import Campaign
from bench.report.plots.bars import draw_cold_start, draw_memory
from bench.report.plots.batches import draw_batches
from bench.report.plots.forest import draw_forest
from bench.report.plots.gpu import draw_gpu
from bench.report.plots.held import draw_cost, draw_held_rate
from bench.report.plots.lengths import draw_lengths
from bench.report.plots.quality import draw_quality
from bench.report.plots.rates import draw_cache, draw_goodput, draw_latency_by_rate
from bench.report.plots.scaling import draw_scaling
from bench.report.plots.style import RC
from bench.report.plots.sweep import draw_throughput


class Plot(NamedTuple):
    """A plot: the stem of its files, the function that draws it (None without data), and its caption."""

    name: str
    draw: Callable[[Campaign], Figure | None]
    caption: str


PLOTS = (
    Plot(
        "held_rate",
        draw_held_rate,
        "The rate that one server holds within the SLO, against its memory: up and left is better. A bar runs from "
        "the rate that no block failed to the lowest rate that failed.",
    ),
    Plot(
        "latency_by_rate",
        draw_latency_by_rate,
        "Open loop with Poisson arrivals, from the intended send, every straggler counted. A dot is a window, the "
        "line their median, a bar the 95 % interval over blocks. A line breaks at a refused rate.",
    ),
    Plot(
        "cost",
        draw_cost,
        "Cost at the rate held within the SLO; multiply by the price of a core hour. Black: bounds of the rate.",
    ),
    Plot(
        "scaling",
        draw_scaling,
        "The same model on more cores. Threads: one process with a model thread per core. Processes: one process per "
        "core. Apart: the gateway on one core, an embed service on each of the others.",
    ),
    Plot("lengths", draw_lengths, "Rate by the length of a text: tokens are what a forward pass costs."),
    Plot(
        "quality",
        draw_quality,
        "Retrieval quality beside speed: a faster model that finds less is another model. A bar is the 95 % interval "
        "of the questions drawn.",
    ),
    Plot(
        "cold_start",
        draw_cold_start,
        "From exec to the first answer that agrees with the reference. Cold: the target's files were not in the page "
        "cache. An image pull comes before both.",
    ),
    Plot(
        "forest",
        draw_forest,
        "Right of 1 is better than the baseline. A difference counts if its interval, which includes the A/A band, "
        "excludes 1. n is the number of blocks; a hollow mark has too few for an interval.",
    ),
    Plot(
        "throughput",
        draw_throughput,
        "Throughput by concurrency; shades and bars are 95 % intervals, where three blocks are sound. Closed loop, "
        "unique questions, validated answers only.",
    ),
    Plot(
        "goodput",
        draw_goodput,
        "Answers within the SLO; marks on the right: under overload. Load shedding keeps them, a queue loses them.",
    ),
    Plot("batches", draw_batches, "Bulk work by batch size, with one request in flight."),
    Plot("memory", draw_memory, "Resident memory by role. The split shape counts both of its processes."),
    Plot(
        "gpu",
        draw_gpu,
        "GPU memory of a target's processes, else the growth of the card's memory since their start; energy of the "
        "whole card in the window, from its counter.",
    ),
    Plot("cache", draw_cache, "A share of the texts repeats. In all other plots the texts are unique."),
)
CAPTIONS = {plot.name: plot.caption for plot in PLOTS}


def draw_all(campaign: Campaign) -> list[Path]:
    """Draw every plot with data into `plots/`; return the SVG files in reading order."""
    folder = campaign.folder / "plots"
    folder.mkdir(exist_ok=True)
    drawn: list[Path] = []
    with plt.rc_context(RC):
        for plot in PLOTS:
            figure = plot.draw(campaign)
            if figure is not None:
                drawn.append(_save(figure, folder / plot.name))
    return drawn


def _save(figure: Figure, stem: Path) -> Path:
    figure.savefig(stem.with_suffix(".png"))
    figure.set_layout_engine("none")  # reuse the layout of the first drawing
    figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
    plt.close(figure)
    return stem.with_suffix(".svg")
