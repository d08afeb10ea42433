"""Tables of a campaign as plain text cells, for the terminal, the report and the README."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pandas as pd

from bench.analysis import cells
from bench.analysis.cells import LOADS
from bench.analysis.headline import headline_route
from bench.analysis.summary import Campaign
from bench.records.refusal_codes import CODES, DISTURBED


@dataclass(frozen=True)
class Content:
    """A table of a name column and number columns with units in the header; "" means not measured."""

    title: str
    columns: list[str]
    rows: list[list[str]]


def number(value: object, digits: int = 1, unit: str = "") -> str:
    """Return a number with separated thousands; "" for None or NaN."""
    if value is None or pd.isna(value):  # type: ignore[call-overload]
        return ""
    return f"{float(str(value)):,.{digits}f}{unit}"


def trimmed(content: Content) -> Content:
    """Return the table without empty columns."""
    kept = [i for i in range(len(content.columns)) if any(row[i] for row in content.rows)]
    return Content(
        content.title, [content.columns[i] for i in kept], [[row[i] for i in kept] for row in content.rows]
    )


def ordered(campaign: Campaign, rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows in the order of the campaign's targets, without the twin."""
    places = {name: place for place, name in enumerate(campaign.targets)}
    own = rows[rows.target.isin(campaign.targets)]
    return own.sort_values("target", key=lambda names: names.map(places), kind="stable")


def results(campaign: Campaign) -> Content:
    """Return a line for each target at the headline concurrency: both routes, cost, memory, cold start, footprint."""
    c, base = campaign.concurrency, campaign.baseline
    search, embed = (campaign.lines("closed", route, c) for route in ("search", "embeddings"))
    verified = campaign.lines("verify")
    main = embed if headline_route(campaign) == "embeddings" else search
    columns = ["target", "search RPS", "p50 / p95 / p99 ms", "embed RPS", "p50 / p95 / p99 ms", "blocks"]
    columns += [f"embed ÷ {base}"] if base else []
    columns += ["CPU ms/search", "CPU ms/embed", "RSS MiB", "start s, warm / cold files", "installed MB"]
    rows = [
        [
            target,
            at(search, target, "rps"),
            _format_percentiles(search, target),
            at(embed, target, "rps"),
            _format_percentiles(embed, target),
            _count_blocks(campaign, target),
            *([_format_ratio(embed, target, base)] if base else []),
            at(search, target, "cpu_ms_per_req", 2),
            at(embed, target, "cpu_ms_per_req", 2),
            at(main, target, "rss_steady_mib", 0) or at(embed, target, "rss_steady_mib", 0),
            _format_starts(campaign, target),
            at(verified, target, "environment_mb", 0),
        ]
        for target in campaign.targets
    ]
    measured = [row for row in rows if any(row[1:])]
    return Content(f"Closed loop, {c} in flight", columns, measured)


def warm_starts(campaign: Campaign) -> pd.DataFrame:
    """Return each target's line of the starts with a warm page cache."""
    lines = campaign.lines("cold", "embeddings")
    return lines[lines.page_cache != "cold"]


def _format_percentiles(lines: pd.DataFrame, target: str) -> str:
    parts = [at(lines, target, name) for name in ("p50_ms", "p95_ms", "p99_ms")]
    return " / ".join(part or "–" for part in parts) if parts[0] else ""


def _format_ratio(lines: pd.DataFrame, target: str, base: str) -> str:
    if target == base:
        return "1.00×" if at(lines, target, "rps") else ""
    ratio = at(lines, target, "ratio", 2, "×")
    low, high = (at(lines, target, name, 2) for name in ("ratio_low", "ratio_high"))
    if not ratio or not low:
        return f"{ratio} (too few blocks)" if ratio else ""
    word = str(lines.verdict[target])
    return f"{ratio} [{low}, {high}]" + f" ({word})" * (word not in ("faster", "slower"))


def _count_blocks(campaign: Campaign, target: str) -> str:
    """Return the sound blocks of search and of embeddings at the headline concurrency."""
    counts = []
    for route in ("search", "embeddings"):
        rows = campaign.cells.get(cells.key(target, "closed", route, concurrency=campaign.concurrency))
        counts.append(str(len(cells.by_block(rows, "rps"))) if rows is not None else "–")
    return " / ".join(counts) if any(count not in ("–", "0") for count in counts) else ""


def _format_starts(campaign: Campaign, target: str) -> str:
    """Return the median seconds to the first answer with the files in the page cache, and without."""
    lines = campaign.lines("cold", "embeddings")
    starts = [at(lines[lines.page_cache == kind], target, "first_answer_s", 2) for kind in ("warm", "cold")]
    return " / ".join(start or "–" for start in starts) if any(starts) else ""


def at(lines: pd.DataFrame, target: str, column: str, digits: int = 1, unit: str = "") -> str:
    """Return a target's number in a column; "" if it has no line."""
    return number(lines[column][target], digits, unit) if target in lines.index else ""


def interval(low: object, high: object, digits: int = 1) -> str:
    """Return both ends of an interval; "" if there is none."""
    return f"{number(low, digits)}–{number(high, digits)}" if number(low) else ""


def ledger(campaign: Campaign) -> Content:
    """Return every row with a code, and the throughput of refused rows."""
    columns = ["target", "scenario", "route", "load", "block", "would have said, RPS", "codes", "why"]
    coded = campaign.runs[campaign.runs.codes != ""]
    rows = [
        [
            str(row.target),
            str(row.scenario),
            str(row.route),
            _format_load(row),
            number(row.block, 0),
            number(row.rps) if row.refused else "",
            str(row.codes) + ("" if row.refused else " (kept)"),
            str(row.reason) or "; ".join(CODES[code].meaning for code in str(row.codes).split()),
        ]
        for row in coded.itertuples()
    ]
    return Content("Ledger: refused and qualified rows", columns, rows)


def _format_load(row: Any) -> str:
    signs = {"concurrency": ("c=", ""), "cores": ("", " cores"), "batch": ("n=", "")}
    parts = [(*signs.get(name, ("", " %")), getattr(row, name)) for name in LOADS]
    return ", ".join(f"{before}{number(at, 0)}{after}" for before, after, at in parts if number(at, 0))


def notes(campaign: Campaign) -> list[str]:
    """Return the notes under the results: floors, refusals, disturbances, blanks."""
    floors = [name for name in campaign.targets if campaign.manifest["targets"][name]["precision"] == "pseudo"]
    lines = [f"{', '.join(floors)}: no model runs; a floor for the HTTP side, never ranked."] if floors else []
    lines += _list_refusals(campaign.runs)
    disturbed = [_select_refusing(codes) <= {*DISTURBED} for codes in campaign.runs.codes[campaign.runs.refused]]
    if any(disturbed):
        lines.append(
            f"The machine disturbed {sum(disturbed)} of {len(campaign.runs)} rows ({', '.join(DISTURBED)}): "
            "they are in the ledger and in no number."
        )
    if (campaign.runs.codes.str.contains(r"\bE_N\b")).any():
        lines.append("A blank percentile has too few samples (E_N).")
    return lines


def _list_refusals(runs: pd.DataFrame) -> list[str]:
    """Return a line for each scenario and set of codes, without rows that only the machine disturbed."""
    targets: dict[tuple[str, str], list[str]] = {}
    refused = runs[runs.refused]
    for target, scenario, codes in zip(refused.target, refused.scenario, refused.codes, strict=True):
        earned = _select_refusing(codes)
        if not earned <= {*DISTURBED}:
            joined = " ".join(code for code in CODES if code in earned)
            targets.setdefault((scenario, joined), []).append(target)
    lines = []
    for (scenario, joined), names in targets.items():
        total = int(((runs.scenario == scenario) & runs.target.isin(names)).sum())
        lines.append(
            f"refused: {', '.join(dict.fromkeys(names))}, {scenario}, {len(names)} of {total} rows: {joined}"
        )
    return lines


def _select_refusing(codes: str) -> set[str]:
    return {code for code in codes.split() if CODES[code].refuses}
