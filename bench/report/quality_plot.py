"""The plot of retrieval quality: nDCG@10 of every target, dense, hybrid and reranked, beside the reference."""

from __future__ import annotations

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from bench.report.panels import columns, target_axis
from bench.report.style import INK
from bench.report.summary import Campaign
from bench.report.tables import ordered

KINDS = {"search-hybrid": "hybrid", "search-reranked": "reranked"}
LOOKS = {"dense": ("o", "#0072B2"), "hybrid": ("D", "#E69F00"), "reranked": ("^", "#009E73")}
# An axis of less would make half a point look like a gulf.
LEAST_SPAN = 0.1


def quality(campaign: Campaign) -> Figure | None:
    """nDCG@10 as dots, the reference (fp32 sentence-transformers, dense) as a dashed line."""
    scores = found(campaign)
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
    room = max(0.0, LEAST_SPAN - (high - low)) / 2
    axes.set_xlim(low - room, high + room)
    target_axis(axes, names)
    axes.set_xlabel(f"nDCG@10 on SQuAD v2 ({_questions(scores)}; higher is better)")
    axes.set_title("Retrieval quality")
    handles = [Line2D([], [], ls="", marker=LOOKS[kind][0], color=LOOKS[kind][1], ms=8) for kind in kinds]
    dashed = Line2D([], [], color=INK, lw=1.2, ls=(0, (6, 3)))
    figure.legend(
        [*handles, dashed], [*kinds, f"reference, dense ({reference:.3f})"], loc="outside lower center", ncols=4
    )
    return figure


def found(campaign: Campaign) -> pd.DataFrame:
    """
    A line per target and kind of retrieval, medians over the blocks.

    Of the scenario `quality`, or, in a campaign without it, of what verifying found.
    """
    lines = ordered(campaign, campaign.summary.dropna(subset=["ndcg10"]))
    lines = lines[lines.precision != "pseudo"]
    asked = lines[lines.scenario == "quality"]
    chosen = lines[lines.scenario == "verify"] if asked.empty else asked
    return chosen.assign(kind=[KINDS.get(route, "dense") for route in chosen.route])


def _questions(scores: pd.DataFrame) -> str:
    least, most = scores.questions.min(), scores.questions.max()
    return f"{most:,.0f} questions" if least == most else f"{least:,.0f} to {most:,.0f} questions"
