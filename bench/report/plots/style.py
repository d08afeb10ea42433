"""The style of the plots: a colour, a marker and a dash per target, safe for colour-blind readers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.colors import to_hex, to_rgb

from bench.machine.device_names import SEPARATOR

mpl.use("Agg")

# The palette of Okabe and Ito (2008) without its yellow, which is too light on white.
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
DARKER = 0.55  # factor on a target's colour for each further device
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
    """The style of one target."""

    colour: str
    marker: str
    dash: str = "-"


def looks(targets: list[str]) -> dict[str, Look]:
    """
    Return the style of each target, the same in every plot and, for known names, in every campaign.

    On a further device (`python@cuda`) a target has a darker shade of its colour, and another dash.
    """
    families = [name.partition(SEPARATOR)[0] for name in targets]
    unknown = [name for name in dict.fromkeys(families) if name not in COLOURS]
    colours = {**COLOURS, **{name: OTHERS[i % len(OTHERS)] for i, name in enumerate(unknown)}}
    styles = {}
    for i, (name, family) in enumerate(zip(targets, families, strict=True)):
        earlier_devices = families[:i].count(family)
        dash = "-." if earlier_devices else "--" if name == "pseudo" else "-"
        styles[name] = Look(_darken(colours[family], earlier_devices), MARKERS[i % len(MARKERS)], dash)
    return styles


def _darken(colour: str, times: int) -> str:
    if not times:
        return colour
    (red, green, blue), shade = to_rgb(colour), DARKER**times
    return to_hex((red * shade, green * shade, blue * shade))
