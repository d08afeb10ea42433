"""Plots of the rate held within the SLO: against memory, and as the cost of a million requests."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.analysis.decisions import Decision, decide, slos
from bench.analysis.summary import Campaign
from bench.report.plots.panels import ROUTES, bar_axis, columns, label_points, log_axes
from bench.report.plots.style import INK, Look, looks


def draw_held_rate(campaign: Campaign) -> Figure | None:
    """
    Draw the rate held against memory, a mark per target with its bounds, a panel per route.

    An arrow means that no offered rate failed. A hollow mark is the closed loop of a target without an open loop. The
    pseudo target is left out, since no model runs in it.
    """
    panels = [(route, slo_ms, _select(campaign, route)) for route, slo_ms in slos(campaign) if route in ROUTES]
    panels = [panel for panel in panels if any(decision.rps for decision in panel[2])]
    if not panels:
        return None
    figure, grid = columns(len(panels), 7.6 if len(panels) == 1 else 5.6, 4.6)
    style = looks(campaign.targets)
    for axes, (route, slo_ms, decisions) in zip(grid, panels, strict=True):
        for decision in decisions:
            _draw_mark(axes, decision, style[decision.target])
        label_points(axes, [_label(decision) for decision in decisions])
        log_axes(axes)
        axes.margins(0.16)
        axes.set_title(f"{ROUTES[route]} · p99 ≤ {slo_ms:g} ms")
        axes.set_xlabel("memory, MiB (log scale; less is better)")
        axes.set_ylabel("requests per second held (log scale)")
    _draw_legend(figure, [decision for _, _, decisions in panels for decision in decisions])
    return figure


def _select(campaign: Campaign, route: str) -> list[Decision]:
    return [decision for decision in decide(campaign, route) if decision.precision != "pseudo" and decision.mib]


def _label(decision: Decision) -> tuple[float, float, str]:
    rps = decision.rps if decision.rps is not None else decision.closed_rps or 0.0
    return decision.mib or 0.0, rps, f"{decision.target} {rps:,.0f}"


def _draw_mark(axes: Axes, decision: Decision, look: Look) -> None:
    held = decision.rps is not None
    mib, rps = decision.mib or 0.0, (decision.rps if held else decision.closed_rps) or 0.0
    face = look.colour if held else "white"
    axes.plot(mib, rps, look.marker, color=look.colour, mfc=face, mec=look.colour, ms=9, mew=1.4, zorder=3)
    if not held:
        return
    low, high = decision.low or 0.0, decision.high or rps
    if low > 0:
        axes.plot([mib, mib], [low, high], "-_", color=look.colour, lw=1.6, ms=8, mew=1.6, zorder=2)
    if decision.high is None:
        axes.annotate(
            "",
            (mib, rps * 1.18),
            (mib, rps),
            arrowprops={"arrowstyle": "->", "color": look.colour, "lw": 1.2},
        )


def _draw_legend(figure: Figure, decisions: Sequence[Decision]) -> None:
    entries = {"held, with its bounds": Line2D([], [], marker="o", ls="-", color=INK)}
    if any(decision.rps and decision.high is None for decision in decisions):
        entries["arrow: no offered rate failed"] = Line2D([], [], ls="", marker="$↑$", ms=9, color=INK)
    if any(decision.rps is None for decision in decisions):
        entries["closed loop, held to no limit"] = Line2D([], [], ls="", marker="o", mfc="white", mec=INK)
    figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=3)


def draw_cost(campaign: Campaign) -> Figure | None:
    """Draw the core hours of a million requests at the rate held, a bar per target with its bounds."""
    panels = [
        (route, slo_ms, [each for each in _select(campaign, route) if each.core_hours_million])
        for route, slo_ms in slos(campaign)
    ]
    panels = [panel for panel in panels if panel[2]]
    if not panels:
        return None
    most = max(len(decisions) for _, _, decisions in panels)
    figure, grid = columns(len(panels), 7.6 if len(panels) == 1 else 5.6, 0.42 * most + 1.6)
    style = looks(campaign.targets)
    for axes, (route, slo_ms, decisions) in zip(grid, panels, strict=True):
        _draw_costs(axes, decisions, style)
        axes.set_title(f"{ROUTES.get(route, route)} · p99 ≤ {slo_ms:g} ms")
        axes.set_xlabel("core hours for a million requests at the rate held; less is better")
    return figure


def _draw_costs(axes: Axes, decisions: Sequence[Decision], style: dict[str, Look]) -> None:
    dearest = []
    for place, decision in enumerate(decisions):
        hours, rps = decision.core_hours_million or 0.0, decision.rps or 0.0
        axes.barh(place, hours, height=0.6, color=style[decision.target].colour)
        end = hours * rps / decision.low if decision.low else hours
        axes.plot([hours * rps / (decision.high or rps), end], [place, place], "|-", color=INK, lw=1.3, ms=7)
        dearest.append(end)
    for place, (decision, end) in enumerate(zip(decisions, dearest, strict=True)):
        text = f"{decision.core_hours_million:.2f} h"
        axes.text(end + 0.015 * max(dearest), place, text, va="center", fontsize=8.5)
    bar_axis(axes, [decision.target for decision in decisions], max(dearest))
