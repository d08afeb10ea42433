"""How every plot looks: one colour, one marker and one dash per target, safe for the colour-blind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

# Okabe and Ito's palette (2008), without its yellow, which is too light for lines on white.
COLOURS = {
    "python": "#0072B2",
    "onnx_py": "#D55E00",
    "onnx_py-int8": "#E69F00",
    "split": "#009E73",
    "study": "#CC79A7",
    "infinity": "#56B4E9",
    "pseudo": "#8C8C8C",
}
OTHERS = ("#000000", "#7F3C8D", "#4B6A53", "#A5673F")
MARKERS = ("o", "s", "D", "^", "v", "<", ">", "p", "h")
INK = "#222222"
FAINT = "#D9D9D9"

RC: Any = {
    "figure.dpi": 110,
    "savefig.dpi": 160,
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelcolor": INK,
    "axes.edgecolor": "#888888",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "figure.constrained_layout.h_pad": 0.08,
    "figure.constrained_layout.w_pad": 0.08,
    "grid.color": "#E8E8E8",
    "grid.linewidth": 0.8,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.frameon": False,
    "svg.hashsalt": "bench",
}


@dataclass(frozen=True)
class Look:
    """How one target is drawn."""

    colour: str
    marker: str
    dash: str = "-"


def looks(targets: list[str]) -> dict[str, Look]:
    """A look for each target, the same in every plot and, for known names, in every campaign."""
    unknown = [name for name in targets if name not in COLOURS]
    colours = {**COLOURS, **{name: OTHERS[i % len(OTHERS)] for i, name in enumerate(unknown)}}
    return {
        name: Look(colours[name], MARKERS[i % len(MARKERS)], "--" if name == "pseudo" else "-")
        for i, name in enumerate(targets)
    }
