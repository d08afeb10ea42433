"""The plot of quality against latency: one dot per target and search mode."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.plots.panels import columns
from bench.retrieval.evaluation import Row

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P")


def figure(rows: Sequence[Row]) -> Figure:
    """Draw nDCG@10 with its interval over the p50 of a request. Colour is the mode, marker the target."""
    canvas, (axes,) = columns(1, 7.6, 4.6)
    modes = list(dict.fromkeys(row.way for row in rows))
    names = list(dict.fromkeys(row.target for row in rows))
    for row in rows:
        # A bootstrap interval may miss its mean by a rounding error.
        spread = [[max(0.0, row.ndcg10 - row.ndcg10_low)], [max(0.0, row.ndcg10_high - row.ndcg10)]]
        axes.errorbar(
            row.p50_ms,
            row.ndcg10,
            yerr=spread,
            marker=MARKERS[names.index(row.target) % len(MARKERS)],
            color=COLOURS[modes.index(row.way) % len(COLOURS)],
            ms=8,
            mec="white",
            capsize=2,
            lw=1,
        )
    axes.set_xlabel("p50 of a search, one in flight (ms; lower is better)")
    axes.set_ylabel("nDCG@10 (higher is better)")
    axes.set_title(f"Quality and latency of search modes: {rows[0].corpus}, {rows[0].questions:,} questions")
    dots = [Line2D([], [], ls="", marker="o", color=COLOURS[i % len(COLOURS)], ms=8) for i in range(len(modes))]
    shapes = [
        Line2D([], [], ls="", marker=MARKERS[i % len(MARKERS)], color="#555555", ms=8) for i in range(len(names))
    ]
    canvas.legend([*dots, *shapes], [*modes, *names], loc="outside lower center", ncols=4)
    return canvas


def draw(rows: Sequence[Row], file: Path) -> None:
    """Write the plot as PNG."""
    figure(rows).savefig(file, dpi=150)
