"""The headline of a campaign: the shape that holds most, or is fastest, and its rivals, in one sentence."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.analysis.decisions import Decision, decide, noise, slos, told_apart
from bench.analysis.summary import Campaign, compare


def sentence(campaign: Campaign) -> str:
    """
    Return one sentence about the rate held within the p99 limit, or the closed loop where none was searched for.

    It compares only ranked targets with a row that was not refused: on a mix if one was measured, else on search.
    """
    return _describe_held(campaign) or _describe_closed(campaign)


def _describe_held(campaign: Campaign) -> str:
    """Return the sentence about the rates that were searched for; "" without one."""
    searched = campaign.runs[(campaign.runs.scenario == "slo") & campaign.runs.ranked.astype(bool)]
    for route, slo_ms in sorted(slos(campaign), key=_rank_route):
        targets = set(searched[searched.route == route].target)
        decisions = [each for each in decide(campaign, route) if each.rps is not None and each.target in targets]
        if decisions:
            load = f"{_name_requests(route)} a second with p99 ≤ {slo_ms:g} ms"
            return _compare_held(campaign, decisions, load, noise(campaign, route))
    return ""


def _rank_route(limit: tuple[str, float]) -> int:
    """Return the place of a route and its limit: mixes first, for they are work like that of users."""
    return {"search": 1, "embeddings": 2}.get(limit[0], 0)


def _compare_held(campaign: Campaign, decisions: Sequence[Decision], load: str, band: float) -> str:
    best, *others = decisions
    figures = f"{best.rps:,.0f} {load} ({best.describe_bounds()}; {_describe_memory(best)})"
    if not others:
        return f"Only {best.target} was ranked: it holds {figures}."
    apart = told_apart(best, others[0], band)
    head = f"{best.target} holds the most" if apart else f"{best.target} and {others[0].target} cannot be told apart"
    fp32 = [other for other in others if other.precision == "fp32"]
    baseline = [other for other in others if other.target == campaign.baseline]
    rivals = {other.target: other for other in (others[0], *fp32[:1], *baseline)}
    listed = [
        f"{name} {other.rps:,.0f} ({other.precision}; {other.describe_bounds()}; {_describe_memory(other)})"
        for name, other in rivals.items()
    ]
    return f"{head}: {best.target} {figures}, {', '.join(listed)}{_qualify_blocks(campaign)}."


def _describe_memory(decision: Decision) -> str:
    return "memory not seen" if decision.mib is None else f"{decision.mib:,.0f} MiB"


def _describe_closed(campaign: Campaign) -> str:
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
    return {"search": "searches", "embeddings": "embeddings"}.get(route, f"requests of {route}")


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
