"""Plot and table of the study of stored token vectors: search quality over bytes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from rich.table import Table

from bench.report.plots.panels import columns, log_axes
from bench.report.plots.style import INK, RC
from scripts.studies.token_storage.variants import (
    BINARY,
    COMMONEST,
    DEFAULT,
    MAX_LOST_POINTS,
    NOTHING,
    ONE_BIT,
    PUNCTUATION,
    RESCORED,
    Row,
)

# Okabe and Ito's palette (2008); codes in the order of the legend.
COLOURS = {
    "Float16": INK,
    "Turbo8": "#0072B2",
    "Turbo4": "#D55E00",
    f"Turbo8 + {RESCORED}": "#56B4E9",
    f"Turbo8 + {BINARY}": "#CC79A7",
    f"Turbo8 + {ONE_BIT}": "#009E73",
}
SHAPES = {NOTHING: "o", PUNCTUATION: "s", COMMONEST: "D"}


def write_plot(file: Path, rows: Sequence[Row]) -> None:
    """Plot quality over storage, a panel per corpus. Colour: encoding; shape: pruning; number: tokens per vector."""
    corpora = list(dict.fromkeys(row.corpus for row in rows))
    with plt.rc_context(RC):
        figure, panels = columns(len(corpora), 5, 5)
        for axes, corpus in zip(panels, corpora, strict=True):
            _draw_panel(axes, [row for row in rows if row.corpus == corpus])
        panels[0].set_ylabel("nDCG@10, fused (higher is better)")
        figure.legend(handles=_make_legend(), loc="outside lower center", ncols=min(4, 2 * len(corpora)))
        figure.savefig(file)
        plt.close(figure)


def _draw_panel(axes: Axes, rows: Sequence[Row]) -> None:
    for encoding, colour in COLOURS.items():
        line = [row for row in rows if row.variant.encoding == encoding and row.pruned == NOTHING]
        axes.plot([row.stored_kb_per_passage for row in line], [row.fused_ndcg10 for row in line], color=colour, lw=1)
    for row in rows:
        point, colour = (row.stored_kb_per_passage, row.fused_ndcg10), COLOURS[row.variant.encoding]
        axes.plot(*point, marker=SHAPES[row.pruned], color=colour, ms=11, mec="white", zorder=3)
        style: dict[str, Any] = {"color": "white", "fontsize": 7, "weight": "bold", "zorder": 4}
        axes.annotate(str(row.pooled), point, ha="center", va="center_baseline", **style)
        if row.variant == DEFAULT:
            axes.plot(*point, marker="o", mfc="none", mec=INK, ms=16)
    axes.axhline(rows[0].fused_ndcg10 - MAX_LOST_POINTS / 100, color=INK, lw=0.8, ls="--")
    axes.set_title(f"{rows[0].corpus}: {rows[0].passages:,} passages, {rows[0].questions:,} questions")
    axes.set_xlabel("kB on disk a passage (lower is better)")
    log_axes(axes, "x")


def _make_legend() -> list[Line2D]:
    """Return the legend entries of colours, shapes, numbers and lines."""
    marks = [
        *((encoding, {"marker": "o", "color": colour, "ms": 9}) for encoding, colour in COLOURS.items()),
        *((f"no {kind}", {"marker": SHAPES[kind], "color": "#777777", "ms": 9}) for kind in (PUNCTUATION, COMMONEST)),
        ("tokens per vector", {"marker": "$2$", "color": INK, "ms": 6}),
        ("default", {"marker": "o", "mfc": "none", "mec": INK, "ms": 13}),
    ]
    dashes = Line2D([], [], color=INK, lw=0.8, ls="--", label=f"{MAX_LOST_POINTS} points below Float16")
    return [*(Line2D([], [], ls="", label=label, **cast(Any, style)) for label, style in marks), dashes]


def make_table(rows: Sequence[Row]) -> Table:
    """Return the table of one corpus, a line per variant."""
    table = Table(title=f"{rows[0].corpus}: {rows[0].passages:,} passages, {rows[0].questions:,} questions")
    for heading in ("variant", "vectors", "kB on disk", "kB read", "p50 ms", "late alone", "fused", "points lost"):
        table.add_column(heading, justify="left" if heading == "variant" else "right")
    for row in rows:
        table.add_row(
            row.variant.name + (" (default)" if row.variant == DEFAULT else ""),
            f"{row.vectors_per_passage:.1f}",
            f"{row.stored_kb_per_passage:.1f}",
            f"{row.read_kb_per_passage:.1f}",
            f"{row.scoring_p50_ms:.2f}",
            f"{row.late_ndcg10:.4f}",
            f"{row.fused_ndcg10:.4f}",
            f"{row.lost_points:+.2f} [{row.lost_points_low:+.2f}, {row.lost_points_high:+.2f}]",
        )
    return table
