"""Tables of the scenarios: a line for each target and load, with interval, ratio and verdict."""

from __future__ import annotations

import pandas as pd

from bench.analysis.capacity_within_slo import capacity_within_slo
from bench.analysis.decisions import slos
from bench.analysis.summary import Campaign
from bench.records.runs_csv import TWIN
from bench.report import reproduce
from bench.report.tables.columns import MEMORY, ROUTE, SPECS, Spec
from bench.report.tables.results import Content, at, interval, number, ordered, trimmed


def every(campaign: Campaign) -> list[Content]:
    """Return the tables that have rows."""
    tables = [sweep(campaign), within_slo(campaign), *(_fill(campaign, spec) for spec in SPECS), memory(campaign)]
    tables += [opinions(campaign), verification(campaign)]
    return [content for content in tables if content.rows]


def sweep(campaign: Campaign) -> Content:
    """Return every cell of the sweep; refused cells have no numbers."""
    columns = ["target", "route", "c", "RPS", "95 % interval", "p50 ms", "p95 ms", "p99 ms", "CPU ms/req", "RSS MiB"]
    columns += ["peak MiB", "by role, MiB", "by role, CPU ms", f"÷ {campaign.baseline or 'baseline'}"]
    columns += ["verdict", "codes", reproduce.AGAIN]
    lines = campaign.summary[campaign.summary.scenario == "closed"]
    rows = [
        [
            str(line.target),
            str(line.route),
            number(line.concurrency, 0),
            number(line.rps),
            interval(line.rps_low, line.rps_high),
            number(line.p50_ms),
            number(line.p95_ms),
            number(line.p99_ms),
            number(line.cpu_ms_per_req, 2),
            number(line.rss_steady_mib, 0),
            number(line.rss_peak_mib, 0),
            str(line.rss_roles_mib).replace("=", " "),
            str(line.cpu_roles_ms).replace("=", " "),
            number(line.ratio, 2, "×"),
            str(line.verdict),
            str(line.codes),
            reproduce.cell("closed", str(line.target).removesuffix(TWIN), float(str(line.concurrency))),
        ]
        for line in lines.itertuples()
    ]
    return Content("The sweep, cell by cell", columns, rows)


def within_slo(campaign: Campaign) -> Content:
    """Return the capacity of each target within the SLO: median over blocks and lower bound."""
    rows = []
    for route, slo_ms in slos(campaign):
        for target in dict.fromkeys(map(str, campaign.lines("server", route).index)):
            held = capacity_within_slo(campaign, target, slo_ms, route)
            figures = [number(held.rps), number(held.low), number(held.percent, 0)] if held else ["none held", "", ""]
            rows.append([target, route, number(slo_ms, 0), *figures, reproduce.cell("server", target)])
    columns = ["target", "route", "SLO: p99 ms", "held RPS", "at the least", "% of closed max", reproduce.AGAIN]
    return Content("Highest rate within the SLO, one server", columns, rows)


def memory(campaign: Campaign) -> Content:
    """Return idle, steady, peak and recovered memory in the headline cell of the sweep."""
    spec = Spec("closed", f"Memory at concurrency {campaign.concurrency}", {**ROUTE, "concurrency": "c"}, MEMORY)
    content = _fill(campaign, spec)
    return Content(
        content.title, content.columns, [row for row in content.rows if row[2] == f"{campaign.concurrency}"]
    )


def verification(campaign: Campaign) -> Content:
    """Return the figures of each target's verification and its disk footprint."""
    columns = ["target", "ingest texts/s", "cosine min", "cosine mean", "hit@1", "hit@5", "nDCG@10"]
    columns += ["reference nDCG@10", "environment MB", "model MB", "codes"]
    lines = campaign.lines("verify")
    rows = [
        [
            target,
            at(lines, target, "ingest_texts_per_s", 1),
            *(at(lines, target, name, 6) for name in ("cosine_min", "cosine_mean")),
            *(at(lines, target, name, 4) for name in ("hit1", "hit5", "ndcg10", "reference_ndcg10")),
            at(lines, target, "environment_mb", 0),
            at(lines, target, "model_mb", 0),
            str(lines.codes[target]),
        ]
        for target in map(str, lines.index)
    ]
    return trimmed(Content("Verification and footprint", columns, rows))


def opinions(campaign: Campaign) -> Content:
    """Return the counts of another client at the same load, and whether the driver agrees."""
    columns = ["target", "route", "c", "client", "RPS", "verdict", reproduce.AGAIN]
    sound = campaign.runs[(campaign.runs.scenario == "second_opinion") & ~campaign.runs.refused]
    rows = [
        [
            str(row.target),
            str(row.route),
            number(row.concurrency, 0),
            str(row.client),
            number(row.rps),
            str(row.reason),
            reproduce.cell("closed,second_opinion", str(row.target)),
        ]
        for row in ordered(campaign, sound).itertuples()
    ]
    return Content("Another client at the same load", columns, rows)


def _fill(campaign: Campaign, spec: Spec) -> Content:
    """Return a line for each target and load with a value in any column of the table."""
    lines = ordered(campaign, campaign.summary[campaign.summary.scenario == spec.scenario])
    filled = lines[lines[[name for _, name, _ in spec.columns]].notna().any(axis=1)]
    columns = ["target", *spec.loads.values(), *_list_headers(spec), "÷ baseline", "verdict", "rows", reproduce.AGAIN]
    rows = [_format_row(line, spec) for _, line in filled.iterrows()]
    return trimmed(Content(spec.title, columns, rows))


def _list_headers(spec: Spec) -> list[str]:
    headers = [[header, "95 % interval"] if name == spec.bounded else [header] for header, name, _ in spec.columns]
    return [header for group in headers for header in group]


def _format_row(line: pd.Series[float], spec: Spec) -> list[str]:
    figures = []
    for _, name, digits in spec.columns:
        figures.append(number(line[name], digits))
        if name == spec.bounded:
            figures.append(interval(line[f"{name}_low"], line[f"{name}_high"], digits))
    loads = [_format_load(line[name]) for name in spec.loads]
    compares = str(line.figure) in [name for _, name, _ in spec.columns]
    compared = [f"{number(line.ratio, 2)}× {line.baseline}", str(line.verdict)] if compares else ["", ""]
    rows = number(line["rows"] - line.refused_rows, 0)
    return [str(line.target), *loads, *figures, *compared, rows, reproduce.cell(spec.scenario, str(line.target))]


def _format_load(at: object) -> str:
    return at if isinstance(at, str) else number(at, 0)
