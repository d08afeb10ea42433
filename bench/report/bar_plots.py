"""Plots with a bar per target: efficiency, memory, cold start."""

from __future__ import annotations

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.report.panels import ROUTES, bar_axis, columns
from bench.report.style import FAINT, Look, looks
from bench.report.summary import Campaign
from bench.report.verdict import headline_route

PHASES = {"listening_s": "exec → listening", "ready_s": "→ ready", "first_answer_s": "→ first validated answer"}
PHASE_COLOURS = ("#BBD4E6", "#5F9CC5", "#0B4F80")
FRONT_COLOUR, BEHIND_COLOURS = "#0072B2", ("#E69F00", "#009E73", "#CC79A7")


def efficiency(campaign: Campaign) -> Figure | None:
    """How many times better than the baseline: throughput, CPU per request, memory; on one logarithmic axis."""
    base, route = campaign.baseline, headline_route(campaign)
    lines = campaign.lines("closed", route, campaign.concurrency)
    lines = lines[lines.rps.notna() & lines.ranked]
    if base is None or base not in lines.index or len(lines) < 2:
        return None
    ratios = {
        "throughput": lines.rps / lines.rps[base],
        "CPU per request": lines.cpu_ms_per_req[base] / lines.cpu_ms_per_req,
        "resident memory": lines.rss_steady_mib[base] / lines.rss_steady_mib,
    }
    figure, panels = columns(3, 3.5, 0.4 * len(lines) + 1.5)
    style = looks(campaign.targets)
    for i, (axes, (name, values)) in enumerate(zip(panels, ratios.items(), strict=True)):
        _ratio_panel(axes, name, values.astype(float), style)
        if i == 0:
            _ratio_intervals(axes, lines)
        else:
            axes.set_yticklabels([])
        axes.set_xlabel(f"times better than {base}")
    figure.suptitle(f"{ROUTES[route]} at concurrency {campaign.concurrency}", x=0.01, ha="left", fontsize=9.5)
    return figure


def _ratio_panel(axes: Axes, name: str, values: pd.Series[float], style: dict[str, Look]) -> None:
    axes.barh(range(len(values)), values, height=0.62, color=[style[str(target)].colour for target in values.index])
    for place, value in enumerate(values):
        axes.text(value + 0.015 * values.max(), place, f"{value:.2f}×", va="center", fontsize=8.5)
    axes.axvline(1, color="#444444", lw=1)
    axes.axvspan(0.95, 1.05, color=FAINT, zorder=0)
    axes.set_title(name)
    bar_axis(axes, [str(target) for target in values.index], float(values.max()))


def _ratio_intervals(axes: Axes, lines: pd.DataFrame) -> None:
    for place, target in enumerate(lines.index):
        low, high = lines.ratio_low[target], lines.ratio_high[target]
        if pd.notna(low) and pd.notna(high):
            axes.plot([low, high], [place, place], color="#222222", lw=1.4)


def memory(campaign: Campaign) -> Figure | None:
    """Resident memory of each role at the headline concurrency, and the peak of the whole target."""
    lines = _memory_lines(campaign)
    if lines.empty:
        return None
    figure, (axes,) = columns(1, 8.2, 0.42 * len(lines) + 1.5)
    names = list(lines.index)
    widest = float(lines.rss_peak_mib.max())
    for place, target in enumerate(names):
        left = 0.0
        roles = roles_of(lines.rss_roles_mib[target])
        colours = [*BEHIND_COLOURS[: len(roles) - 1], FRONT_COLOUR]
        for (role, mib), colour in zip(roles, colours, strict=True):
            axes.barh(place, mib, left=left, height=0.62, color=colour, edgecolor="white", lw=0.8)
            if mib > 0.09 * widest:
                axes.text(left + mib / 2, place, role, ha="center", va="center", fontsize=8, color="white")
            left += mib
        peak = float(lines.rss_peak_mib[target])
        axes.plot([peak, peak], [place - 0.31, place + 0.31], color="#222222", lw=1.6)
        axes.text(max(peak, left) + 0.012 * widest, place, f"{left:,.0f} MiB", va="center", fontsize=8.5)
    bar_axis(axes, names, widest)
    axes.set_xlabel("resident memory, MiB, by role (median in the window; the black line is the peak)")
    axes.set_title(f"Memory at concurrency {campaign.concurrency}")
    return figure


def _memory_lines(campaign: Campaign) -> pd.DataFrame:
    """Each target's line of search, or of embeddings where it has no search."""
    parts = [campaign.lines("closed", route, campaign.concurrency) for route in ROUTES]
    lines = pd.concat([part[part.rss_steady_mib.notna()] for part in parts])
    lines = lines[~lines.index.duplicated()]
    return lines.loc[[name for name in campaign.targets if name in lines.index]]


def roles_of(joined: str) -> list[tuple[str, float]]:
    """Read `embed=210.1 gateway=71.0` as pairs."""
    pairs = (pair.partition("=") for pair in joined.split())
    return [(role, float(mib)) for role, _, mib in pairs]


def cold_start(campaign: Campaign) -> Figure | None:
    """Median phases of the starts, stacked; each start's total as a dot."""
    lines = campaign.lines("cold", "embeddings")
    lines = lines[lines.first_answer_s.notna()]
    if lines.empty:
        return None
    figure, (axes,) = columns(1, 8.2, 0.42 * len(lines) + 1.9)
    names = list(lines.index)
    for i, (column, label) in enumerate(PHASES.items()):
        before = lines[list(PHASES)[i - 1]].astype(float) if i else pd.Series(0.0, index=lines.index)
        axes.barh(
            range(len(names)),
            lines[column].astype(float) - before,
            left=before,
            height=0.62,
            color=PHASE_COLOURS[i],
            edgecolor="white",
            lw=0.8,
            label=label,
        )
    starts = campaign.runs[(campaign.runs.scenario == "cold") & ~campaign.runs.refused]
    widest = float(starts.first_answer_s.max())
    for place, target in enumerate(names):
        totals = starts.loc[starts.target == target, "first_answer_s"]
        axes.plot(totals, [place] * len(totals), "o", ms=3.5, color="#222222", mec="white", mew=0.5)
        axes.text(
            totals.max() + 0.012 * widest, place, f"{lines.first_answer_s[target]:.2f} s", va="center", fontsize=8.5
        )
    bar_axis(axes, names, widest)
    axes.set_xlabel("seconds from exec (median; a dot is one start; files in the page cache)")
    axes.set_title("Cold start")
    figure.legend(loc="outside lower center", ncols=3)
    return figure
