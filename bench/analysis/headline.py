"""The headline of a campaign: the fastest shape, and the ratio to its rivals, in one sentence."""

from __future__ import annotations

import pandas as pd

from bench.analysis.summary import Campaign, compare


def sentence(campaign: Campaign) -> str:
    """
    Return one sentence about requests a second at the headline concurrency, of search if it was measured.

    It compares only ranked targets with a row that was not refused, by the verdicts of `bench.statistics.word`.
    """
    route = headline_route(campaign)
    ranking = ranked(campaign, route)
    if ranking.empty:
        return "Nothing to rank: every run of a ranked target was refused or is missing."
    load = f"{_name_requests(route)} a second at concurrency {campaign.concurrency}"
    best = str(ranking.index[0])
    if len(ranking) == 1:
        return f"Only {best} was ranked: {ranking.rps.iloc[0]:,.0f} {load} in {_format_memory(ranking, best)}."
    rivals = [_compare_rival(campaign, ranking, best, other, route) for other in _list_rivals(campaign, ranking)]
    listed = " and ".join([", ".join(rivals[:-1]), rivals[-1]]) if len(rivals) > 1 else rivals[0]
    return f"{_describe_winner(campaign, ranking, route, load)}: {listed}{_qualify_blocks(campaign)}."


def headline_route(campaign: Campaign) -> str:
    """Return "search" if a ranked target served it, else "embeddings"."""
    return "search" if not ranked(campaign, "search").empty else "embeddings"


def ranked(campaign: Campaign, route: str) -> pd.DataFrame:
    """Return the summary lines of the ranked targets in the headline cell, fastest first."""
    lines = campaign.lines("closed", route, campaign.concurrency)
    return lines[lines.ranked & lines.rps.notna()].sort_values("rps", ascending=False)


def _name_requests(route: str) -> str:
    return "searches" if route == "search" else "embeddings"


def _describe_winner(campaign: Campaign, ranking: pd.DataFrame, route: str, load: str) -> str:
    best, second = (str(name) for name in ranking.index[:2])
    compared = compare(campaign.runs, best, second, route, campaign.concurrency)
    verdict = compared.word if compared else "inconclusive"
    figures = f"{ranking.rps[best]:,.0f} {load} in {_format_memory(ranking, best)}"
    if verdict == "faster":
        return f"{best} won with {figures}"
    if compared is None or compared.bounds is None:
        return f"{best} came first with {figures}"
    verb = "are equivalent" if verdict == "equivalent" else "are too close to tell apart"
    return f"{best} and {second} {verb} at the top, {best} with {figures}"


def _list_rivals(campaign: Campaign, ranking: pd.DataFrame) -> list[str]:
    """Return the second, the best in fp32 if int8 leads, and the baseline; each once."""
    names = [str(name) for name in ranking.index]
    fp32 = [name for name in names if ranking.precision[name] == "fp32"]
    rivals = [names[1], *fp32[:1], *([campaign.baseline] if campaign.baseline in names else [])]
    return list(dict.fromkeys(name for name in rivals if name is not None and name != names[0]))


def _compare_rival(campaign: Campaign, ranking: pd.DataFrame, best: str, other: str, route: str) -> str:
    compared = compare(campaign.runs, best, other, route, campaign.concurrency)
    ratio, bounds = (compared.ratio, compared.bounds) if compared else (ranking.rps[best] / ranking.rps[other], None)
    interval = f" [{bounds[0]:.2f}, {bounds[1]:.2f}]" if bounds else ""
    figures = f"{ranking.precision[other]}; {ranking.rps[other]:,.0f}; {_format_memory(ranking, other)}"
    return f"{ratio:.2f}×{interval} {other} ({figures})"


def _format_memory(ranking: pd.DataFrame, target: str) -> str:
    return f"{ranking.rss_steady_mib[target]:,.0f} MiB"


def _qualify_blocks(campaign: Campaign) -> str:
    return "" if campaign.blocks >= 3 else f" ({campaign.blocks} block{'s' * (campaign.blocks > 1)}: no interval)"
