"""The tables of a campaign as plain text cells, for the terminal, the report and the README alike."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bench.report.summary import Campaign
from bench.report.verdict import headline_route
from bench.validity import CODES, DISTURBED


@dataclass(frozen=True)
class Content:
    """A table: the first column names, the others are numbers with their unit in the header; "" is not measured."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def number(value: object, digits: int = 1, unit: str = "") -> str:
    """A number with thousands separated; "" where there is none."""
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return ""
    return f"{float(str(value)):,.{digits}f}{unit}"


def trimmed(content: Content) -> Content:
    """The same without the columns that have no cell."""
    kept = [i for i in range(len(content.columns)) if any(row[i] for row in content.rows)]
    return Content(
        content.title, [content.columns[i] for i in kept], [[row[i] for i in kept] for row in content.rows]
    )


def ordered(campaign: Campaign, rows: pd.DataFrame) -> pd.DataFrame:
    """The rows of the targets asked for, in that order; the twin's left out."""
    places = {name: place for place, name in enumerate(campaign.targets)}
    known = rows[rows.target.isin(campaign.targets)]
    return known.sort_values("target", key=lambda names: names.map(places), kind="stable")


def results(campaign: Campaign) -> Content:
    """One line a target at the headline concurrency: both routes, cost, memory, cold start, footprint."""
    c, base = campaign.concurrency, campaign.baseline
    search, embed = (campaign.lines("closed", route, c) for route in ("search", "embeddings"))
    cold, verified = warm_starts(campaign), campaign.lines("verify")
    main = embed if headline_route(campaign) == "embeddings" else search
    columns = ["target", "search RPS", "p50 / p99 ms", "embed RPS", "p50 / p99 ms"]
    columns += [f"embed ÷ {base}"] if base else []
    columns += ["CPU ms/req", "RSS MiB", "cold start s", "installed MB"]
    rows = [
        [
            target,
            at(search, target, "rps"),
            _percentiles(search, target),
            at(embed, target, "rps"),
            _percentiles(embed, target),
            *([_times(embed, target, base)] if base else []),
            at(main, target, "cpu_ms_per_req", 2) or at(embed, target, "cpu_ms_per_req", 2),
            at(main, target, "rss_steady_mib", 0) or at(embed, target, "rss_steady_mib", 0),
            at(cold, target, "first_answer_s", 2),
            at(verified, target, "environment_mb", 0),
        ]
        for target in campaign.targets
    ]
    measured = [row for row in rows if any(row[1:])]
    return Content(f"Closed loop, {c} in flight", columns, measured)


def warm_starts(campaign: Campaign) -> pd.DataFrame:
    """Each target's line of the starts with its files in the page cache."""
    lines = campaign.lines("cold", "embeddings")
    return lines[lines.page_cache != "cold"]


def _percentiles(lines: pd.DataFrame, target: str) -> str:
    parts = [at(lines, target, name) for name in ("p50_ms", "p99_ms")]
    return f"{parts[0]} / {parts[1] or '–'}" if parts[0] else ""


def _times(lines: pd.DataFrame, target: str, base: str) -> str:
    if target == base:
        return "1.00×" if at(lines, target, "rps") else ""
    return at(lines, target, "ratio", 2, "×")


def at(lines: pd.DataFrame, target: str, column: str, digits: int = 1, unit: str = "") -> str:
    """A target's number in a column; "" where it has no line."""
    return number(lines[column][target], digits, unit) if target in lines.index else ""


def interval(low: object, high: object, digits: int = 1) -> str:
    """Both ends, or "" where there is none."""
    return f"{number(low, digits)}–{number(high, digits)}" if number(low) else ""


def ledger(campaign: Campaign) -> Content:
    """Every row that earned a code, with what it would have claimed."""
    columns = ["target", "scenario", "route", "load", "block", "would have said, RPS", "codes", "why"]
    coded = campaign.runs[campaign.runs.codes != ""]
    rows = [
        [
            str(row.target),
            str(row.scenario),
            str(row.route),
            _load(row.concurrency, row.batch, row.percent),
            number(row.block, 0),
            number(row.rps) if row.refused else "",
            str(row.codes) + ("" if row.refused else " (kept)"),
            str(row.reason) or "; ".join(CODES[code].meaning for code in str(row.codes).split()),
        ]
        for row in coded.itertuples()
    ]
    return Content("Ledger: refused and qualified rows", columns, rows)


def _load(concurrency: object, batch: object, percent: object) -> str:
    parts = (("c=", concurrency, ""), ("n=", batch, ""), ("", percent, " %"))
    return ", ".join(f"{before}{number(at, 0)}{after}" for before, at, after in parts if number(at, 0))


def notes(campaign: Campaign) -> list[str]:
    """Short lines under the results: floors, refusals, disturbances, blanks."""
    floors = [name for name in campaign.targets if campaign.manifest["targets"][name]["precision"] == "pseudo"]
    said = [f"{', '.join(floors)}: no model runs; a floor for the HTTP side, never ranked."] if floors else []
    said += _refusals(campaign.runs)
    disturbed = [_refusing(codes) <= {*DISTURBED} for codes in campaign.runs.codes[campaign.runs.refused]]
    if any(disturbed):
        said.append(
            f"The machine disturbed {sum(disturbed)} of {len(campaign.runs)} rows ({', '.join(DISTURBED)}): "
            "they are in the ledger and in no number."
        )
    if (campaign.runs.codes.str.contains(r"\bE_N\b")).any():
        said.append("A blank percentile has too few samples (E_N).")
    return said


def _refusals(runs: pd.DataFrame) -> list[str]:
    """A line for each scenario and set of codes: whose rows, how many; without what the machine alone disturbed."""
    found: dict[tuple[str, str], list[str]] = {}
    refused = runs[runs.refused]
    for target, scenario, codes in zip(refused.target, refused.scenario, refused.codes, strict=True):
        earned = _refusing(codes)
        if not earned <= {*DISTURBED}:
            said = " ".join(code for code in CODES if code in earned)
            found.setdefault((scenario, said), []).append(target)
    lines = []
    for (scenario, said), names in found.items():
        every = int(((runs.scenario == scenario) & runs.target.isin(names)).sum())
        lines.append(f"refused: {', '.join(dict.fromkeys(names))}, {scenario}, {len(names)} of {every} rows: {said}")
    return lines


def _refusing(codes: str) -> set[str]:
    return {code for code in codes.split() if CODES[code].refuses}
