"""The sentence that says which shape won, and by how much."""

from __future__ import annotations

import pandas as pd

from bench.report.summary import Campaign, compare


def sentence(campaign: Campaign) -> str:
    """
    One sentence about requests a second at the headline concurrency, over search where it was measured.

    Only what is ranked and not refused is compared; the words are those of `bench.statistics.word`.
    """
    route = headline_route(campaign)
    ranking = ranked(campaign, route)
    if ranking.empty:
        return "Nothing to rank: every run of a ranked target was refused or is missing."
    load = f"{_noun(route)} a second at concurrency {campaign.concurrency}"
    best = str(ranking.index[0])
    if len(ranking) == 1:
        return f"Only {best} was ranked: {ranking.rps.iloc[0]:,.0f} {load} in {_memory(ranking, best)}."
    rivals = [_against(campaign, ranking, best, other, route) for other in _rivals(campaign, ranking)]
    listed = " and ".join([", ".join(rivals[:-1]), rivals[-1]]) if len(rivals) > 1 else rivals[0]
    return f"{_opening(campaign, ranking, route, load)}: {listed}{_certainty(campaign)}."


def headline_route(campaign: Campaign) -> str:
    """Search where any ranked target served it, else embeddings."""
    return "search" if not ranked(campaign, "search").empty else "embeddings"


def ranked(campaign: Campaign, route: str) -> pd.DataFrame:
    """Lines of the headline cell that may win, fastest first."""
    lines = campaign.lines("closed", route, campaign.concurrency)
    return lines[lines.ranked & lines.rps.notna()].sort_values("rps", ascending=False)


def _noun(route: str) -> str:
    return "searches" if route == "search" else "embeddings"


def _opening(campaign: Campaign, ranking: pd.DataFrame, route: str, load: str) -> str:
    best, second = (str(name) for name in ranking.index[:2])
    compared = compare(campaign.runs, best, second, route, campaign.concurrency)
    said = compared[2] if compared else "inconclusive"
    has = f"{ranking.rps[best]:,.0f} {load} in {_memory(ranking, best)}"
    if said == "faster":
        return f"{best} won with {has}"
    if compared is None or compared.bounds is None:
        return f"{best} came first with {has}"
    verb = "are equivalent" if said == "equivalent" else "are too close to tell apart"
    return f"{best} and {second} {verb} at the top, {best} with {has}"


def _rivals(campaign: Campaign, ranking: pd.DataFrame) -> list[str]:
    """The second, the best in fp32 when int8 leads, and the baseline; each once."""
    names = [str(name) for name in ranking.index]
    fp32 = [name for name in names if ranking.precision[name] == "fp32"]
    wanted = [names[1], *fp32[:1], *([campaign.baseline] if campaign.baseline in names else [])]
    return list(dict.fromkeys(name for name in wanted if name is not None and name != names[0]))


def _against(campaign: Campaign, ranking: pd.DataFrame, best: str, other: str, route: str) -> str:
    compared = compare(campaign.runs, best, other, route, campaign.concurrency)
    ratio, bounds = (compared[0], compared[1]) if compared else (ranking.rps[best] / ranking.rps[other], None)
    interval = f" [{bounds[0]:.2f}, {bounds[1]:.2f}]" if bounds else ""
    what = f"{ranking.precision[other]}; {ranking.rps[other]:,.0f}; {_memory(ranking, other)}"
    return f"{ratio:.2f}×{interval} {other} ({what})"


def _memory(ranking: pd.DataFrame, target: str) -> str:
    return f"{ranking.rss_steady_mib[target]:,.0f} MiB"


def _certainty(campaign: Campaign) -> str:
    return "" if campaign.blocks >= 3 else f" ({campaign.blocks} block{'s' * (campaign.blocks > 1)}: no interval)"
