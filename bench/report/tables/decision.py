"""The decision table: shape by rate at the SLO, memory, cost, start, quality, and whether the next differs."""

from __future__ import annotations

from collections.abc import Sequence

from bench.analysis.decisions import Decision, decide, noise, slos, told_apart
from bench.analysis.summary import Campaign
from bench.report.tables.results import Content, number

COLUMNS = ["target", "precision", "held RPS", "bounds", "windows", "MiB", "core hours / million"]
COLUMNS += ["start s, warm files", "nDCG@10", "apart from the next?"]


def tables(campaign: Campaign) -> list[Content]:
    """Return a table per route of the open loop, the target that holds the highest rate first."""
    return [_fill(campaign, route, slo_ms) for route, slo_ms in slos(campaign)]


def _fill(campaign: Campaign, route: str, slo_ms: float) -> Content:
    decisions = [decision for decision in decide(campaign, route) if decision.precision != "pseudo"]
    band = noise(campaign, route)
    following = [*decisions[1:], None]
    rows = [_format(decision, after, band) for decision, after in zip(decisions, following, strict=True)]
    return Content(f"{route}: rate of one server with p99 ≤ {slo_ms:g} ms", COLUMNS, rows)


def _format(decision: Decision, after: Decision | None, band: float) -> list[str]:
    return [
        decision.target,
        decision.precision,
        number(decision.rps, 0) if decision.rps is not None else "not offered",
        decision.describe_bounds(),
        number(decision.windows or None, 0),
        number(decision.mib, 0),
        number(decision.core_hours_million, 2),
        number(decision.start_s, 2),
        number(decision.ndcg10, 3),
        _compare(decision, after, band),
    ]


def _compare(decision: Decision, after: Decision | None, band: float) -> str:
    """Return whether a target is told apart from the next one; "" if there is none with a rate."""
    if decision.rps is None or after is None or after.rps is None:
        return ""
    return "yes" if told_apart(decision, after, band) else f"no, within ±{band:.0%}"


def recommend_by(contents: Sequence[Content]) -> str:
    """Return the sentence that says what to do where targets are not told apart; "" if all are."""
    if not any(row[-1].startswith("no") for content in contents for row in content.rows):
        return ""
    return "Targets that are not told apart: choose by memory and topology, not by rate."
