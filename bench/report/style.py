"""How every plot looks: one colour, one marker and one dash per target, safe for the colour-blind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.colors import to_hex, to_rgb

from bench.devices import SEPARATOR

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
DARKER = 0.55  # of a target's colour, for each further device that it is entered on
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
    """
    A look for each target, the same in every plot and, for known names, in every campaign.

    On a further device (`python@cuda`) a target has its own colour, darker, and a dash of its own.
    """
    families = [name.partition(SEPARATOR)[0] for name in targets]
    unknown = [name for name in dict.fromkeys(families) if name not in COLOURS]
    colours = {**COLOURS, **{name: OTHERS[i % len(OTHERS)] for i, name in enumerate(unknown)}}
    drawn = {}
    for i, (name, family) in enumerate(zip(targets, families, strict=True)):
        older = families[:i].count(family)
        dash = "-." if older else "--" if name == "pseudo" else "-"
        drawn[name] = Look(_darker(colours[family], older), MARKERS[i % len(MARKERS)], dash)
    return drawn


def _darker(colour: str, times: int) -> str:
    if not times:
        return colour
    (red, green, blue), shade = to_rgb(colour), DARKER**times
    return to_hex((red * shade, green * shade, blue * shade))
