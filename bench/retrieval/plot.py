"""Quality against latency: one dot for each way of searching of each target."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.panels import columns
from bench.retrieval.measured import Row

COLOURS = ("#0072B2", "#E69F00", "#009E73", "#CC79A7", "#D55E00", "#56B4E9", "#000000")
MARKERS = ("o", "s", "^", "D", "v", "P")


def figure(rows: Sequence[Row]) -> Figure:
    """nDCG@10 with its interval over the p50 of a request; colour is the way, marker the target."""
    drawn, (axes,) = columns(1, 7.6, 4.6)
    ways = list(dict.fromkeys(row.way for row in rows))
    names = list(dict.fromkeys(row.target for row in rows))
    for row in rows:
        # An interval of resamples may miss its mean by a rounding error.
        spread = [[max(0.0, row.ndcg10 - row.ndcg10_low)], [max(0.0, row.ndcg10_high - row.ndcg10)]]
        axes.errorbar(
            row.p50_ms,
            row.ndcg10,
            yerr=spread,
            marker=MARKERS[names.index(row.target) % len(MARKERS)],
            color=COLOURS[ways.index(row.way) % len(COLOURS)],
            ms=8,
            mec="white",
            capsize=2,
            lw=1,
        )
    axes.set_xlabel("p50 of a search, one in flight (ms; lower is better)")
    axes.set_ylabel("nDCG@10 (higher is better)")
    axes.set_title(f"What each way of searching finds, and takes: {rows[0].corpus}, {rows[0].questions:,} questions")
    shown = [Line2D([], [], ls="", marker="o", color=COLOURS[at % len(COLOURS)], ms=8) for at in range(len(ways))]
    shapes = [
        Line2D([], [], ls="", marker=MARKERS[at % len(MARKERS)], color="#555555", ms=8) for at in range(len(names))
    ]
    drawn.legend([*shown, *shapes], [*ways, *names], loc="outside lower center", ncols=4)
    return drawn


def draw(rows: Sequence[Row], file: Path) -> None:
    """Write the plot as PNG."""
    figure(rows).savefig(file, dpi=150)
