"""The tables of a campaign as plain text cells, for the terminal, the report and the README alike."""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from bench.report.summary import Campaign
from bench.report.verdict import headline_route
from bench.validity import CODES

LABELS = {"search": "search", "embeddings": "embed"}


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


def results(campaign: Campaign) -> Content:
    """One line a target at the headline concurrency: both routes, cost, memory, cold start, footprint."""
    c, base = campaign.concurrency, campaign.baseline
    search, embed = (campaign.lines("closed", route, c) for route in ("search", "embeddings"))
    cold, verified = campaign.lines("cold", "embeddings"), campaign.lines("verify")
    main = embed if headline_route(campaign) == "embeddings" else search
    columns = ["target", "search RPS", "p50 / p99 ms", "embed RPS", "p50 / p99 ms"]
    columns += [f"embed ÷ {base}"] if base else []
    columns += ["CPU ms/req", "RSS MiB", "cold start s", "installed MB"]
    rows = [
        [
            target,
            _at(search, target, "rps"),
            _percentiles(search, target),
            _at(embed, target, "rps"),
            _percentiles(embed, target),
            *([_times(embed, target, base)] if base else []),
            _at(main, target, "cpu_ms_per_req", 2) or _at(embed, target, "cpu_ms_per_req", 2),
            _at(main, target, "rss_steady_mib", 0) or _at(embed, target, "rss_steady_mib", 0),
            _at(cold, target, "first_answer_s", 2),
            _at(verified, target, "environment_mb", 0),
        ]
        for target in campaign.targets
    ]
    return Content(f"Closed loop, {c} in flight", columns, rows)


def _percentiles(lines: pd.DataFrame, target: str) -> str:
    parts = [_at(lines, target, name) for name in ("p50_ms", "p99_ms")]
    return f"{parts[0]} / {parts[1] or '–'}" if parts[0] else ""


def _times(lines: pd.DataFrame, target: str, base: str) -> str:
    if target == base:
        return "1.00×" if _at(lines, target, "rps") else ""
    return _at(lines, target, "ratio", 2, "×")


def _at(lines: pd.DataFrame, target: str, column: str, digits: int = 1, unit: str = "") -> str:
    return number(lines[column][target], digits, unit) if target in lines.index else ""


def sweep(campaign: Campaign) -> Content:
    """Every cell of the sweep, refused ones too (their numbers left out)."""
    columns = ["target", "route", "c", "RPS", "95 % interval", "p50 ms", "p95 ms", "p99 ms", "CPU ms/req", "RSS MiB"]
    columns += ["peak MiB", "by role, MiB", f"÷ {campaign.baseline or 'baseline'}", "verdict", "codes"]
    lines = campaign.summary[campaign.summary.scenario == "closed"]
    rows = [
        [
            str(line.target),
            LABELS[str(line.route)],
            number(line.concurrency, 0),
            number(line.rps),
            _interval(line.rps_low, line.rps_high),
            number(line.p50_ms),
            number(line.p95_ms),
            number(line.p99_ms),
            number(line.cpu_ms_per_req, 2),
            number(line.rss_steady_mib, 0),
            number(line.rss_peak_mib, 0),
            str(line.rss_roles_mib).replace("=", " "),
            number(line.ratio, 2, "×"),
            str(line.verdict),
            str(line.codes),
        ]
        for line in lines.itertuples()
    ]
    return Content("The sweep, cell by cell", columns, rows)


def _interval(low: object, high: object) -> str:
    return f"{number(low)}–{number(high)}" if number(low) else ""


def verification(campaign: Campaign) -> Content:
    """What each target showed before it was measured."""
    columns = ["target", "ingest texts/s", "cosine min", "cosine mean", "hit@1", "hit@5", "nDCG@10"]
    columns += ["reference nDCG@10", "environment MB", "model MB", "codes"]
    lines = campaign.lines("verify")
    rows = [
        [
            target,
            _at(lines, target, "ingest_texts_per_s", 1),
            *(_at(lines, target, name, 6) for name in ("cosine_min", "cosine_mean")),
            *(_at(lines, target, name, 4) for name in ("hit1", "hit5", "ndcg10", "reference_ndcg10")),
            _at(lines, target, "environment_mb", 0),
            _at(lines, target, "model_mb", 0),
            str(lines.codes[target]),
        ]
        for target in map(str, lines.index)
    ]
    return Content("Verification and footprint", columns, rows)


def cold(campaign: Campaign) -> Content:
    """Median phases of the starts."""
    columns = ["target", "listening s", "ready s", "first validated answer s", "idle RSS MiB", "starts"]
    lines = campaign.lines("cold", "embeddings")
    rows = [
        [
            target,
            *(_at(lines, target, name, 2) for name in ("listening_s", "ready_s", "first_answer_s")),
            _at(lines, target, "rss_idle_mib", 0),
            _at(lines, target, "rows", 0),
        ]
        for target in map(str, lines.index)
    ]
    return Content("Cold start, from exec", columns, rows)


def ledger(campaign: Campaign) -> Content:
    """Every row that earned a code, with what it would have claimed."""
    columns = ["target", "scenario", "route", "c", "block", "would have said, RPS", "codes", "why"]
    coded = campaign.runs[campaign.runs.codes != ""]
    rows = [
        [
            str(row.target),
            str(row.scenario),
            str(row.route),
            number(row.concurrency, 0),
            number(row.block, 0),
            number(row.rps) if row.refused else "",
            str(row.codes) + ("" if row.refused else " (kept)"),
            str(row.reason) or "; ".join(CODES[code].meaning for code in str(row.codes).split()),
        ]
        for row in coded.itertuples()
    ]
    return Content("Ledger: refused and qualified rows", columns, rows)


def notes(campaign: Campaign) -> list[str]:
    """Short lines under the results: floors, refusals, blanks."""
    said = []
    floors = [name for name in campaign.targets if campaign.manifest["targets"][name]["precision"] == "pseudo"]
    if floors:
        said.append(f"{', '.join(floors)}: no model runs; a floor for the HTTP side, never ranked.")
    refused = campaign.runs[campaign.runs.refused]
    for (target, scenario), rows in refused.groupby(["target", "scenario"], sort=False):
        earned = {code for row in rows.codes for code in row.split()}
        codes = " ".join(code for code, what in CODES.items() if code in earned and what.refuses)
        said.append(f"refused: {target}, {scenario}: {codes}")
    timed = campaign.runs[campaign.runs.scenario == "closed"]
    busy = int(timed.codes.str.contains(r"\bE_ENV\b").sum())
    if busy:
        said.append(f"Other work took CPU during {busy} of {len(timed)} windows (E_ENV): they decide nothing.")
    if (campaign.runs.codes.str.contains(r"\bE_N\b")).any():
        said.append("A blank percentile has too few samples (E_N).")
    return said
