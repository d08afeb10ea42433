"""The plot of retrieval quality: nDCG@10 of every target in dense, hybrid and reranked search, with the reference."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.analysis.summary import Campaign
from bench.report.plots.panels import columns, target_axis
from bench.report.plots.style import INK
from bench.report.tables.results import ordered

KINDS = {"search-hybrid": "hybrid", "search-reranked": "reranked"}
LOOKS = {"dense": ("o", "#0072B2"), "hybrid": ("D", "#E69F00"), "reranked": ("^", "#009E73")}
# A narrower axis would exaggerate half a point.
MIN_SPAN = 0.1


def draw_quality(campaign: Campaign) -> Figure | None:
    """Draw nDCG@10 as dots, and the reference (fp32 sentence-transformers, dense) as a dashed line."""
    scores = select_scores(campaign)
    if scores.empty:
        return None
    names = list(dict.fromkeys(scores.target))
    kinds = [kind for kind in LOOKS if kind in set(scores.kind)]
    figure, (axes,) = columns(1, 8.2, 0.4 * len(names) + 1.7)
    for kind, group in scores.groupby("kind"):
        marker, colour = LOOKS[str(kind)]
        places = [names.index(name) for name in group.target]
        axes.plot(group.ndcg10, places, marker, color=colour, ms=8, mec="white", mew=0.6)
    reference = float(scores.reference_ndcg10.median())
    axes.axvline(reference, color=INK, lw=1.2, ls=(0, (6, 3)), zorder=1)
    low, high = axes.get_xlim()
    room = max(0.0, MIN_SPAN - (high - low)) / 2
    axes.set_xlim(low - room, high + room)
    target_axis(axes, names)
    axes.set_xlabel(f"nDCG@10 on SQuAD v2 ({_count_questions(scores)}; higher is better)")
    axes.set_title("Retrieval quality")
    handles = [Line2D([], [], ls="", marker=LOOKS[kind][0], color=LOOKS[kind][1], ms=8) for kind in kinds]
    dashed = Line2D([], [], color=INK, lw=1.2, ls=(0, (6, 3)))
    figure.legend(
        [*handles, dashed], [*kinds, f"reference, dense ({reference:.3f})"], loc="outside lower center", ncols=4
    )
    return figure


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
