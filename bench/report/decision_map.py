"""The decision map: which shape holds a rate of a payload in the least memory, from measured cells only."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.report.capacity import Holds, Span, capacities, spans
from bench.report.panels import log_axes, target_axis
from bench.report.style import FAINT, INK, Look, looks
from bench.report.summary import Campaign

Payloads = Mapping[str, Sequence[Holds]]
ROOM = {
    0.19: "{0.target} ×{0.replicas} · {0.mib:,.0f} MiB",
    0.09: "×{0.replicas} · {0.mib:,.0f}",
    0.03: "×{0.replicas}",
}


def decision_map(campaign: Campaign) -> Figure | None:
    """Rate by payload, coloured by the shape that wins: of all on cores, of those in fp32, and of those on a GPU."""
    payloads = capacities(campaign)
    if not payloads:
        return None
    cases = _cases(payloads)
    ends = [one.rps for known in payloads.values() for one in known]
    low, high = 10 ** math.floor(math.log10(min(ends) / 3)), 2 * max(ends)
    height = sum(0.42 * len(case) + 0.75 for case in cases.values()) + 0.7
    ratios = [len(case) + 1.2 for case in cases.values()]
    figure, grid = plt.subplots(
        len(cases), 1, figsize=(9.4, height), sharex=True, squeeze=False, height_ratios=ratios, layout="constrained"
    )
    style = looks(campaign.targets)
    winners = [
        _panel(axes, name, case, style, (low, high))
        for axes, (name, case) in zip(grid[:, 0], cases.items(), strict=True)
    ]
    grid[-1, 0].set_xlabel("rate, requests per second (log scale)")
    shown = [name for name in campaign.targets if any(name in found for found in winners)]
    patches = [
        *(Patch(color=style[name].colour) for name in shown),
        Patch(facecolor=FAINT, hatch="///", edgecolor="white"),
    ]
    figure.legend(patches, [*shown, "not measured"], loc="outside lower center", ncols=min(len(patches), 7))
    return figure


def _cases(payloads: Payloads) -> dict[str, Payloads]:
    """The panels by title: a server with a GPU is not counted against one without, for it is another machine."""
    on_cores = _only(payloads, lambda one: not one.gpu)
    fp32 = _only(on_cores, lambda one: one.precision == "fp32")
    cases: dict[str, Payloads] = {"Any precision": on_cores, "fp32 only": fp32 if fp32 != on_cores else {}}
    cases["On a GPU"] = _only(payloads, lambda one: one.gpu)
    return {title: case for title, case in cases.items() if case}


def _only(payloads: Payloads, wanted: Callable[[Holds], bool]) -> Payloads:
    """The payloads with only those that are wanted; those without any are left out."""
    kept = {name: [one for one in known if wanted(one)] for name, known in payloads.items()}
    return {name: known for name, known in kept.items() if known}


def _panel(axes: Axes, title: str, case: Payloads, style: dict[str, Look], limits: tuple[float, float]) -> set[str]:
    """Draw one bar a payload; the targets that win anywhere."""
    low, high = limits
    winners = set()
    for place, known in enumerate(case.values()):
        won = spans(known, low)
        for span in won:
            axes.barh(
                place,
                span.high - span.low,
                left=span.low,
                height=0.7,
                color=style[span.target].colour,
                edgecolor="white",
                lw=0.8,
            )
            _label(axes, place, span, style[span.target].colour, math.log(high / low))
        end = won[-1].high
        axes.barh(place, high - end, left=end, height=0.7, color=FAINT, hatch="///", edgecolor="white", lw=0)
        winners |= {span.target for span in won}
    log_axes(axes, "x")
    axes.set_xlim(low, high)
    target_axis(axes, list(case))
    axes.set_title(f"{title}: fewest servers for the rate, then least memory")
    return winners


def _label(axes: Axes, place: int, span: Span, colour: str, decades: float) -> None:
    """As much of the choice as fits into its span."""
    share = math.log(span.high / span.low) / decades
    text = next((words.format(span) for least, words in ROOM.items() if share >= least), "")
    red, green, blue = to_rgb(colour)
    ink = INK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
    axes.text(math.sqrt(span.low * span.high), place, text, ha="center", va="center", fontsize=8, color=ink)
