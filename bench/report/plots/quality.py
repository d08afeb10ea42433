"""The plot of retrieval quality: nDCG@10 beside speed, and in dense, hybrid and reranked search."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.analysis.decisions import decide
from bench.analysis.summary import Campaign
from bench.report.plots.panels import columns, label_points, log_axes, target_axis
from bench.report.plots.style import INK, looks
from bench.report.tables.results import ordered

KINDS = {"search-hybrid": "hybrid", "search-reranked": "reranked"}
LOOKS = {"dense": ("o", "#0072B2"), "hybrid": ("D", "#E69F00"), "reranked": ("^", "#009E73")}
# A narrower axis would exaggerate half a point.
MIN_SPAN = 0.1
OFFSETS = {"dense": -0.22, "hybrid": 0.0, "reranked": 0.22}
DASHED: dict[str, Any] = {"color": INK, "lw": 1.2, "ls": (0, (6, 3)), "zorder": 1}


def draw_quality(campaign: Campaign) -> Figure | None:
    """
    Draw nDCG@10 of dense search against its rate, and nDCG@10 of every kind of search, each with its interval.

    The reference (fp32 sentence-transformers, dense) is a dashed line.
    """
    scores = select_scores(campaign)
    if scores.empty:
        return None
    names = list(dict.fromkeys(scores.target))
    figure, (beside, kinds) = columns(2, 5.6, max(3.4, 0.4 * len(names) + 1.9))
    reference = float(scores.reference_ndcg10.median())
    _draw_beside_speed(beside, campaign, scores[scores.kind == "dense"])
    beside.axhline(reference, **DASHED)
    _widen(beside, "y")
    _draw_kinds(kinds, scores, names)
    kinds.axvline(reference, **DASHED)
    _widen(kinds, "x")
    kinds.set_xlabel(f"nDCG@10 on SQuAD v2 ({_count_questions(scores)}; higher is better)")
    _draw_legend(figure, [kind for kind in LOOKS if kind in set(scores.kind)], reference)
    return figure


def _draw_beside_speed(axes: Axes, campaign: Campaign, dense: pd.DataFrame) -> None:
    rates = {each.target: each.rps or each.closed_rps for each in decide(campaign, "search")}
    style, points = looks(campaign.targets), list[tuple[float, float, str]]()
    for target, ndcg, questions in zip(dense.target, dense.ndcg10, dense.questions, strict=True):
        rps = rates.get(target)
        if rps:
            half, look = _half_width(ndcg, questions), style[target]
            axes.plot([rps, rps], [ndcg - half, ndcg + half], "-_", color=look.colour, lw=1.1, ms=6)
            axes.plot(rps, ndcg, look.marker, color=look.colour, ms=8, mec="white", mew=0.6, label=target)
            points.append((rps, ndcg, target))
    label_points(axes, points)
    axes.margins(x=0.25)
    log_axes(axes, "x")
    axes.set_xlabel("searches per second held within the SLO, else closed loop (log)")
    axes.set_ylabel("nDCG@10, dense")
    axes.set_title("Quality beside speed")


def _draw_kinds(axes: Axes, scores: pd.DataFrame, names: list[str]) -> None:
    for kind, group in scores.groupby("kind"):
        marker, colour = LOOKS[str(kind)]
        for name, ndcg, questions in zip(group.target, group.ndcg10, group.questions, strict=True):
            place, half = names.index(name) + OFFSETS[str(kind)], _half_width(ndcg, questions)
            axes.plot([ndcg - half, ndcg + half], [place, place], "-|", color=colour, lw=1.1, ms=5)
            axes.plot(ndcg, place, marker, color=colour, ms=7, mec="white", mew=0.6)
    target_axis(axes, names)
    axes.set_title("Retrieval quality by kind of search")


def _half_width(ndcg: float, questions: float) -> float:
    """Return half of the widest 95 % interval of a mean of scores from 0 to 1; 0 without questions."""
    if not questions > 0:
        return 0.0
    return 1.96 * math.sqrt(max(0.0, ndcg * (1 - ndcg)) / questions)


def _widen(axes: Axes, which: str) -> None:
    """Widen an axis of scores, so that half a point looks small."""
    low, high = axes.get_xlim() if which == "x" else axes.get_ylim()
    room = max(0.0, MIN_SPAN - (high - low)) / 2
    axes.set(**{f"{which}lim": (low - room, high + room)})


def _draw_legend(figure: Figure, kinds: list[str], reference: float) -> None:
    handles = [Line2D([], [], ls="", marker=LOOKS[kind][0], color=LOOKS[kind][1], ms=8) for kind in kinds]
    labels = [*kinds, f"reference, dense ({reference:.3f})"]
    figure.legend([*handles, Line2D([], [], **DASHED)], labels, loc="outside lower center", ncols=4)


def select_scores(campaign: Campaign) -> pd.DataFrame:
    """
    Return a line per target and kind of retrieval, medians over the blocks.

    The lines are those of the scenario `quality`, or of the verification in a campaign without it.
    """
    lines = ordered(campaign, campaign.summary.dropna(subset=["ndcg10"]))
    lines = lines[lines.precision != "pseudo"]
    quality = lines[lines.scenario == "quality"]
    selected = lines[lines.scenario == "verify"] if quality.empty else quality
    return selected.assign(kind=[KINDS.get(route, "dense") for route in selected.route])


def _count_questions(scores: pd.DataFrame) -> str:
    low, high = scores.questions.min(), scores.questions.max()
    return f"{high:,.0f} questions" if low == high else f"{low:,.0f} to {high:,.0f} questions"
