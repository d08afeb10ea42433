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
from bench.report.plots.decision_map import draw_decision_map
from bench.report.plots.forest import draw_forest
from bench.report.plots.gpu import draw_gpu
from bench.report.plots.latency import draw_latency
from bench.report.plots.quality import draw_quality
from bench.report.plots.rates import draw_cache, draw_goodput, draw_latency_by_rate
from bench.report.plots.style import RC
from bench.report.plots.sweep import draw_latency_vs_throughput, draw_throughput


class Plot(NamedTuple):
    """A plot: the stem of its files, the function that draws it (None without data), and its caption."""

    name: str
    draw: Callable[[Campaign], Figure | None]
    caption: str


PLOTS = (
    Plot(
        "decision_map",
        draw_decision_map,
        "The shape that holds the rate with the fewest servers, and among these with the least memory (PSS, else "
        "peak RSS). A capacity is the lower bound measured on one server. Hatched: beyond 1.25 × the measured range.",
    ),
    Plot(
        "forest",
        draw_forest,
        "Right of 1 is better than the baseline. A difference counts only if its interval lies outside the A/A band.",
    ),
    Plot(
        "latency_by_rate",
        draw_latency_by_rate,
        "Open loop with Poisson arrivals: latency from the intended send, every straggler counted. "
        "This is the only source of SLO numbers.",
    ),
    Plot(
        "goodput",
        draw_goodput,
        "Answers within the SLO under overload: a flat line means load shedding, a falling line means queueing.",
    ),
    Plot(
        "throughput",
        draw_throughput,
        "Throughput by concurrency, with 95 % intervals. Closed loop, unique questions, validated answers only.",
    ),
    Plot(
        "latency",
        draw_latency,
        "Service time: p50 (circle), p95 (diamond), p99 (bar). Closed loop, so not for an SLO.",
    ),
    Plot(
        "latency_vs_throughput",
        draw_latency_vs_throughput,
        "Throughput gained and latency paid by more load; right and down is better. The pseudo target is left out.",
    ),
    Plot("batches", draw_batches, "Bulk work by batch size, with one request in flight."),
    Plot("memory", draw_memory, "Resident memory by role. The split shape counts both of its processes."),
    Plot(
        "gpu",
        draw_gpu,
        "GPU memory of a target's processes, else the growth of the card's memory since their start; energy of the "
        "whole card in the window, from its counter.",
    ),
    Plot("cold_start", draw_cold_start, "From exec to the first answer that agrees with the reference."),
    Plot("quality", draw_quality, "Retrieval quality beside speed: a faster model that finds less is another model."),
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
