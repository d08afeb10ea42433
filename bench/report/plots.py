"""The plots of a campaign, each as PNG and SVG. Refused cells are not drawn; they are in the ledger."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from bench.report.bar_plots import cold_start, efficiency, memory
from bench.report.style import RC
from bench.report.summary import Campaign
from bench.report.sweep_plots import latency, latency_vs_throughput, throughput


def draw_all(campaign: Campaign) -> list[Path]:
    """Draw every plot the campaign has data for into `plots/`; the SVG files, in reading order."""
    folder = campaign.folder / "plots"
    folder.mkdir(exist_ok=True)
    drawn: list[Path] = []
    plots: list[tuple[str, Callable[[Campaign], Figure | None]]] = [
        ("throughput", throughput),
        ("efficiency", efficiency),
        ("latency", latency),
        ("latency_vs_throughput", latency_vs_throughput),
        ("memory", memory),
        ("cold_start", cold_start),
    ]
    with plt.rc_context(RC):
        for name, plot in plots:
            figure = plot(campaign)
            if figure is not None:
                drawn.append(_save(figure, folder / name))
    return drawn


def _save(figure: Figure, stem: Path) -> Path:
    figure.savefig(stem.with_suffix(".png"), bbox_inches="tight")
    figure.savefig(stem.with_suffix(".svg"), bbox_inches="tight", metadata={"Date": None})
    plt.close(figure)
    return stem.with_suffix(".svg")
