"""What was measured of stored token vectors: variants, their rows, a table, a plot of quality over bytes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from rich.table import Table

from bench.report.panels import columns, log_axes
from bench.report.style import INK, RC

TOLERATED_POINTS = 0.5
NOTHING, PUNCTUATION, COMMONEST = "nothing", "punctuation", "punctuation and common"
NO_CODES, BINARY, RESCORED, ONE_BIT = "none", "binary", "binary, rescored", "1 bit"


@dataclass(frozen=True)
class Variant:
    """So many neighbours a vector, in this datatype, without some tokens; `codes` are what is read in its place."""

    pooled: int
    datatype: str
    pruned: str = NOTHING
    codes: str = NO_CODES

    @property
    def name(self) -> str:
        """What the table calls it."""
        without = "" if self.pruned == NOTHING else f", no {self.pruned}"
        return f"pool {self.pooled}, {self.kept}{without}"

    @property
    def kept(self) -> str:
        """The datatype, and codes where there are any."""
        return self.datatype if self.codes == NO_CODES else f"{self.datatype} + {self.codes}"


UNCOMPRESSED = Variant(1, "Float16")
DEFAULT = Variant(1, "Turbo4")
VARIANTS = (
    UNCOMPRESSED,
    *(Variant(pooled, datatype) for datatype in ("Turbo8", "Turbo4") for pooled in (1, 2, 3, 4)),
    Variant(1, "Turbo8", PUNCTUATION),
    Variant(1, "Turbo4", PUNCTUATION),
    Variant(1, "Turbo8", COMMONEST),
    Variant(2, "Turbo8", COMMONEST),
    Variant(2, "Turbo4", COMMONEST),
    Variant(1, "Turbo8", codes=RESCORED),
    Variant(1, "Turbo8", codes=BINARY),
    Variant(2, "Turbo8", codes=BINARY),
    Variant(1, "Turbo8", codes=ONE_BIT),
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


@dataclass(frozen=True)
class Row:
    """
    One variant on one corpus. A kB is 1000 bytes; `read_kb` is of the files that a score is made from.

    `scoring_p50_ms` is of all candidates of a question. nDCG@10 in 0..1; `lost_points` is the fused one's mean loss
    against UNCOMPRESSED for the same questions, in points of 100, between `low` and `high` in 95 %.
    """

    corpus: str
    passages: int
    questions: int
    pooled: int
    datatype: str
    pruned: str
    codes: str
    vectors_per_passage: float
    stored_kb_per_passage: float
    read_kb_per_passage: float
    scoring_p50_ms: float
    late_ndcg10: float
    fused_ndcg10: float
    lost_points: float
    lost_points_low: float
    lost_points_high: float

    @property
    def variant(self) -> Variant:
        """What was measured."""
        return Variant(self.pooled, self.datatype, self.pruned, self.codes)


def smallest(rows: Sequence[Row], worst: Callable[[list[float]], float]) -> Variant:
    """The variant with the least on disk of those whose losses, one a corpus, are at `worst` TOLERATED_POINTS."""
    sizes: dict[Variant, float] = {}
    for variant in {one.variant: None for one in rows}:
        its = [one for one in rows if one.variant == variant]
        if worst([one.lost_points for one in its]) <= TOLERATED_POINTS:
            sizes[variant] = float(np.mean([one.stored_kb_per_passage for one in its]))
    return min(sizes, key=lambda variant: sizes[variant])


def plot(file: Path, rows: Sequence[Row]) -> None:
    """Draw quality over storage, a panel a corpus: colour is what a dimension is kept as, a figure how many pool."""
    corpora = list(dict.fromkeys(one.corpus for one in rows))
    with plt.rc_context(RC):
        drawn, panels = columns(len(corpora), 5, 5)
        for axes, corpus in zip(panels, corpora, strict=True):
            _panel(axes, [one for one in rows if one.corpus == corpus])
        panels[0].set_ylabel("nDCG@10, fused (higher is better)")
        drawn.legend(handles=_keys(), loc="outside lower center", ncols=min(4, 2 * len(corpora)))
        drawn.savefig(file)
        plt.close(drawn)


def _panel(axes: Axes, rows: Sequence[Row]) -> None:
    for kept, colour in COLOURS.items():
        line = [one for one in rows if one.variant.kept == kept and one.pruned == NOTHING]
        axes.plot([one.stored_kb_per_passage for one in line], [one.fused_ndcg10 for one in line], color=colour, lw=1)
    for one in rows:
        at = one.stored_kb_per_passage, one.fused_ndcg10
        axes.plot(*at, marker=SHAPES[one.pruned], color=COLOURS[one.variant.kept], ms=11, mec="white", zorder=3)
        axes.annotate(
            str(one.pooled), at, color="white", fontsize=7, weight="bold", ha="center", va="center_baseline", zorder=4
        )
        if one.variant == DEFAULT:
            axes.plot(*at, marker="o", mfc="none", mec=INK, ms=16)
    axes.axhline(rows[0].fused_ndcg10 - TOLERATED_POINTS / 100, color=INK, lw=0.8, ls="--")
    axes.set_title(f"{rows[0].corpus}: {rows[0].passages:,} passages, {rows[0].questions:,} questions")
    axes.set_xlabel("kB on disk a passage (lower is better)")
    log_axes(axes, "x")


def _keys() -> list[Line2D]:
    """What colours, shapes, figures and lines mean."""
    marks = [
        *((f"{kept}", {"marker": "o", "color": colour, "ms": 9}) for kept, colour in COLOURS.items()),
        *((f"no {what}", {"marker": SHAPES[what], "color": "#777777", "ms": 9}) for what in (PUNCTUATION, COMMONEST)),
        ("so many tokens share a vector", {"marker": "$2$", "color": INK, "ms": 6}),
        ("default", {"marker": "o", "mfc": "none", "mec": INK, "ms": 13}),
    ]
    dashes = Line2D([], [], color=INK, lw=0.8, ls="--", label=f"{TOLERATED_POINTS} points below Float16")
    return [*(Line2D([], [], ls="", label=label, **cast(Any, look)) for label, look in marks), dashes]


def table(rows: Sequence[Row]) -> Table:
    """The rows of one corpus."""
    shown = Table(title=f"{rows[0].corpus}: {rows[0].passages:,} passages, {rows[0].questions:,} questions")
    for heading in ("variant", "vectors", "kB on disk", "kB read", "p50 ms", "late alone", "fused", "points lost"):
        shown.add_column(heading, justify="left" if heading == "variant" else "right")
    for one in rows:
        shown.add_row(
            one.variant.name + (" (default)" if one.variant == DEFAULT else ""),
            f"{one.vectors_per_passage:.1f}",
            f"{one.stored_kb_per_passage:.1f}",
            f"{one.read_kb_per_passage:.1f}",
            f"{one.scoring_p50_ms:.2f}",
            f"{one.late_ndcg10:.4f}",
            f"{one.fused_ndcg10:.4f}",
            f"{one.lost_points:+.2f} [{one.lost_points_low:+.2f}, {one.lost_points_high:+.2f}]",
        )
    return shown
