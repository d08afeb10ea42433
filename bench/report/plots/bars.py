"""Bar plots: memory by role, and cold start by phase."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.analysis.summary import Campaign
from bench.report.plots.panels import ROUTES, bar_axis, columns
from bench.report.plots.style import INK, looks
from bench.report.tables.results import ordered

PHASES = {
    "listening_s": "exec → listening",
    "ready_s": "→ ready",
    "first_answer_s": "→ first validated answer",
    "steady_s": "→ steady",
}
PHASE_COLOURS = ("#C6DBEA", "#7FB2D3", "#0B4F80", "#D9D9D9")


def draw_memory(campaign: Campaign) -> Figure | None:
    """Draw the resident memory of each role at the headline concurrency, and the peak of the whole target."""
    lines = _select_memory(campaign)
    if lines.empty:
        return None
    figure, (axes,) = columns(1, 8.2, 0.42 * len(lines) + 1.5)
    widest, style = float(lines.rss_peak_mib.max()), looks(campaign.targets)
    for place, target in enumerate(lines.index):
        roles = parse_roles(lines.rss_roles_mib[target])
        left = _draw_roles(axes, place, roles, widest, style[str(target)].colour)
        peak = float(lines.rss_peak_mib[target])
        axes.plot([peak, peak], [place - 0.31, place + 0.31], color=INK, lw=1.6)
        axes.text(max(peak, left) + 0.012 * widest, place, f"{left:,.0f} MiB", va="center", fontsize=8.5)
    bar_axis(axes, list(lines.index), widest)
    axes.set_xlabel("resident memory, MiB, by role (median in the window; the black line is the peak)")
    axes.set_title(f"Memory at concurrency {campaign.concurrency}")
    return figure


def _draw_roles(axes: Axes, place: int, roles: list[tuple[str, float]], widest: float, colour: str) -> float:
    """Draw a stacked bar per role in the target's colour, the front one last and darkest; return its end."""
    left = 0.0
    for number, (role, mib) in enumerate(roles, start=1):
        alpha = 1.0 if number == len(roles) else 0.55
        axes.barh(place, mib, left=left, height=0.62, color=colour, alpha=alpha, edgecolor="white", lw=0.8)
        if mib > 0.075 * widest:
            axes.text(left + mib / 2, place, role, ha="center", va="center", fontsize=8, color=INK)
        left += mib
    return left


def _select_memory(campaign: Campaign) -> pd.DataFrame:
    """Return each target's summary line of search, or of embeddings if it has no search."""
    parts = [campaign.lines("closed", route, campaign.concurrency) for route in ROUTES]
    lines = pd.concat([part[part.rss_steady_mib.notna()] for part in parts])
    lines = lines[~lines.index.duplicated()]
    return lines.loc[[name for name in campaign.targets if name in lines.index]]


def parse_roles(joined: str) -> list[tuple[str, float]]:
    """Parse `embed=210.1 gateway=71.0` into pairs of role and MiB."""
    pairs = (pair.partition("=") for pair in joined.split())
    return [(role, float(mib)) for role, _, mib in pairs]


def draw_cold_start(campaign: Campaign) -> Figure | None:
    """Draw stacked medians of the start phases, for warm and cold page cache; each dot is one start."""
    runs = campaign.runs[(campaign.runs.scenario == "cold") & ~campaign.runs.refused]
    starts = ordered(campaign, runs.dropna(subset=["first_answer_s"]))
    if starts.empty:
        return None
    groups = list(starts.groupby(["target", "page_cache"], sort=False))
    phases = {name: label for name, label in PHASES.items() if starts[name].notna().any()}
    figure, (axes,) = columns(1, 8.2, 0.36 * len(groups) + 1.9)
    widest = float(np.nanmax(starts[list(phases)].to_numpy(float)))
    for place, (_, rows) in enumerate(groups):
        _draw_phases(axes, place, rows, phases)
        first = rows.first_answer_s
        axes.plot(first, [place] * len(first), "o", ms=3.5, color=INK, mec="white", mew=0.5)
        end = float(np.nanmax(rows[list(phases)].to_numpy(float)))
        axes.text(end + 0.012 * widest, place, f"{first.median():.2f} s", va="center", fontsize=8.5)
    both_caches = starts.page_cache.nunique() > 1
    names = [f"{target} · {cache}" if both_caches else str(target) for (target, cache), _ in groups]
    bar_axis(axes, names, widest)
    axes.set_xlabel("seconds from exec (median; dots and number: the first validated answer)")
    axes.set_title("Cold start, files in the page cache (warm) and not (cold)" if both_caches else "Cold start")
    figure.legend(loc="outside lower center", ncols=len(phases))
    return figure


def _draw_phases(axes: Axes, place: int, rows: pd.DataFrame, phases: dict[str, str]) -> None:
    before = 0.0
    for (column, label), colour in zip(phases.items(), PHASE_COLOURS, strict=False):
        until = float(rows[column].median())
        if math.isnan(until):
            continue
        axes.barh(
            place,
            until - before,
            left=before,
            height=0.62,
            color=colour,
            edgecolor="white",
            lw=0.8,
            label=None if place else label,
        )
        before = until
