"""The decision map: the shape that holds a rate of a payload with the fewest servers and the least memory."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from bench.analysis.capacity import ServerCapacity, Span, capacities, spans
from bench.analysis.summary import Campaign
from bench.report.plots.panels import log_axes, target_axis
from bench.report.plots.style import FAINT, INK, Look, looks

Payloads = Mapping[str, Sequence[ServerCapacity]]
# Minimum share of the axis -> the label of a span of that width.
ROOM = {
    0.19: "{0.target} ×{0.replicas} · {0.mib:,.0f} MiB",
    0.09: "×{0.replicas} · {0.mib:,.0f}",
    0.03: "×{0.replicas}",
}


def draw_decision_map(campaign: Campaign) -> Figure | None:
    """Draw rate by payload, coloured by the winning shape: a panel for any precision, for fp32, and for GPUs."""
    payloads = capacities(campaign)
    if not payloads:
        return None
    cases = _split_cases(payloads)
    ends = [shape.rps for shapes in payloads.values() for shape in shapes]
    low, high = 10 ** math.floor(math.log10(min(ends) / 3)), 2 * max(ends)
    height = sum(0.42 * len(case) + 0.75 for case in cases.values()) + 0.7
    ratios = [len(case) + 1.2 for case in cases.values()]
    figure, grid = plt.subplots(
        len(cases), 1, figsize=(9.4, height), sharex=True, squeeze=False, height_ratios=ratios, layout="constrained"
    )
    style = looks(campaign.targets)
    winners = [
        _draw_panel(axes, name, case, style, (low, high))
        for axes, (name, case) in zip(grid[:, 0], cases.items(), strict=True)
    ]
    grid[-1, 0].set_xlabel("rate, requests per second (log scale)")
    shown = [name for name in campaign.targets if any(name in panel for panel in winners)]
    patches = [
        *(Patch(color=style[name].colour) for name in shown),
        Patch(facecolor=FAINT, hatch="///", edgecolor="white"),
    ]
    figure.legend(patches, [*shown, "not measured"], loc="outside lower center", ncols=min(len(patches), 7))
    return figure


def _split_cases(payloads: Payloads) -> dict[str, Payloads]:
    """Return the panels by title. Servers with and without a GPU are different machines and not compared."""
    on_cores = _filter_shapes(payloads, lambda shape: not shape.gpu)
    fp32 = _filter_shapes(on_cores, lambda shape: shape.precision == "fp32")
    cases: dict[str, Payloads] = {"Any precision": on_cores, "fp32 only": fp32 if fp32 != on_cores else {}}
    cases["On a GPU"] = _filter_shapes(payloads, lambda shape: shape.gpu)
    return {title: case for title, case in cases.items() if case}


def _filter_shapes(payloads: Payloads, predicate: Callable[[ServerCapacity], bool]) -> Payloads:
    """Return the payloads with the shapes that satisfy the predicate, without empty payloads."""
    filtered = {name: [shape for shape in shapes if predicate(shape)] for name, shapes in payloads.items()}
    return {name: shapes for name, shapes in filtered.items() if shapes}


def _draw_panel(
    axes: Axes, title: str, case: Payloads, style: dict[str, Look], limits: tuple[float, float]
) -> set[str]:
    """Draw one bar per payload; return the targets that win anywhere."""
    low, high = limits
    winners = set()
    for place, shapes in enumerate(case.values()):
        winning = spans(shapes, low)
        for span in winning:
            axes.barh(
                place,
                span.high - span.low,
                left=span.low,
                height=0.7,
                color=style[span.target].colour,
                edgecolor="white",
                lw=0.8,
            )
            _draw_label(axes, place, span, style[span.target].colour, math.log(high / low))
        end = winning[-1].high
        axes.barh(place, high - end, left=end, height=0.7, color=FAINT, hatch="///", edgecolor="white", lw=0)
        winners |= {span.target for span in winning}
    log_axes(axes, "x")
    axes.set_xlim(low, high)
    target_axis(axes, list(case))
    axes.set_title(f"{title}: fewest servers for the rate, then least memory")
    return winners


def _draw_label(axes: Axes, place: int, span: Span, colour: str, log_width: float) -> None:
    """Label a span with the longest text that fits."""
    share = math.log(span.high / span.low) / log_width
    text = next((template.format(span) for min_share, template in ROOM.items() if share >= min_share), "")
    red, green, blue = to_rgb(colour)
    ink = INK if 0.299 * red + 0.587 * green + 0.114 * blue > 0.5 else "white"
    axes.text(math.sqrt(span.low * span.high), place, text, ha="center", va="center", fontsize=8, color=ink)
