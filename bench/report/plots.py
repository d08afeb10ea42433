"""The plots of a campaign, each as PNG and SVG. Refused cells are not drawn; they are in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from bench.report.bar_plots import cold_start, memory
from bench.report.batch_plots import batches
from bench.report.decision_map import decision_map
from bench.report.forest_plot import forest
from bench.report.gpu_plot import gpu
from bench.report.latency_plot import latency
from bench.report.quality_plot import quality
from bench.report.rate_plots import cache, goodput, latency_by_rate
from bench.report.style import RC
from bench.report.summary import Campaign
from bench.report.sweep_plots import latency_vs_throughput, throughput


class Plot(NamedTuple):
    """A plot: the stem of its files, what draws it (None without data), and what a reader must know."""

    name: str
    draw: Callable[[Campaign], Figure | None]
    caption: str


PLOTS = (
    Plot(
        "decision_map",
        decision_map,
        "Which shape holds the rate with the fewest servers, and of those in the least memory (PSS, else the peak of "
        "RSS). A capacity is the lower bound of what one server held; hatched is beyond 1.25 × what was measured.",
    ),
    Plot(
        "forest",
        forest,
        "Better than the baseline is right of 1. A difference counts only where the interval clears the A/A band.",
    ),
    Plot(
        "latency_by_rate",
        latency_by_rate,
        "Open loop, Poisson arrivals: latency from the intended send, stragglers awaited and counted. "
        "The only source of SLO numbers.",
    ),
    Plot(
        "goodput",
        goodput,
        "What is answered within the SLO when more is offered than can be: a flat line sheds, a falling one queues.",
    ),
    Plot(
        "throughput",
        throughput,
        "Throughput by concurrency, with 95 % intervals. Closed loop, unique questions, validated answers only.",
    ),
    Plot("latency", latency, "Service time: p50 (circle), p95 (diamond), p99 (bar). Closed loop, so not for an SLO."),
    Plot(
        "latency_vs_throughput",
        latency_vs_throughput,
        "What more load buys and costs; right and down is better. The floor is left out.",
    ),
    Plot("batches", batches, "Bulk work: one request after another, each with so many texts or documents."),
    Plot("memory", memory, "Resident memory by role. The split shape counts both of its processes."),
    Plot(
        "gpu",
        gpu,
        "What a target on a GPU takes of the card: memory of its own processes, else what the card holds more than "
        "before they started; the whole card's energy in the window, by its counter.",
    ),
    Plot("cold_start", cold_start, "From exec to the first answer that agrees with the reference."),
    Plot("quality", quality, "Retrieval quality beside speed: a faster model that finds less is another model."),
    Plot("cache", cache, "Everywhere else the texts are unique; here a share of them repeats."),
)
CAPTIONS = {plot.name: plot.caption for plot in PLOTS}


def draw_all(campaign: Campaign) -> list[Path]:
    """Draw every plot the campaign has data for into `plots/`; the SVG files, in reading order."""
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
    figure.set_layout_engine("none")  # what the first drawing laid out holds for the second
    figure.savefig(stem.with_suffix(".svg"), metadata={"Date": None})
    plt.close(figure)
    return stem.with_suffix(".svg")
