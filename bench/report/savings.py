"""What each shape saves of the Python monolith's CPU and memory, as a Markdown table and its place in a page."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench import paths
from bench.errors import BenchError
from bench.report import pages, summary
from bench.report.summary import Campaign
from bench.report.tables import number, warm_starts
from bench.report.verdict import headline_route

REFERENCE = "python"
COLUMNS = ["shape", "CPU ms/request", "core hours a million", "saves", "RSS MiB", "saves", "starts in s"]
CORE_HOURS = 1e6 / 1000 / 3600  # a million requests, in hours of one core, for each ms of CPU a request


def write(folder: Path, into: Path | None) -> None:
    """Print the table, or put it between the savings markers of a file; raises BenchError where there are none."""
    pages.put(render(summary.load(folder)), "savings", into)


def render(campaign: Campaign) -> str:
    """The table and where it comes from; raises BenchError for a campaign without a sound run of the monolith."""
    route = headline_route(campaign)
    lines = campaign.lines("closed", route, campaign.concurrency)
    lines = lines[lines.ranked.astype(bool) & ~lines.peer.astype(bool) & lines.cpu_ms_per_req.notna()]
    lines = lines[~lines.index.isin(campaign.on_gpu)]  # what the CPU is spared there, the card costs
    if REFERENCE not in lines.index:
        raise BenchError(f"{campaign.folder.name} has no sound {route} run of {REFERENCE} to save from")
    cold = warm_starts(campaign).first_answer_s
    order = sorted(map(str, lines.index), key=lambda name: -float(lines.cpu_ms_per_req[name]))
    rows = [_line(name, lines, cold) for name in order]
    table = [COLUMNS, ["---", *["---:"] * (len(COLUMNS) - 1)], *rows]
    return "\n".join([*(f"| {' | '.join(cells)} |" for cells in table), "", _source(campaign, route)]) + "\n"


def _line(name: str, lines: pd.DataFrame, cold: pd.Series[float]) -> list[str]:
    cpu_ms, rss = float(lines.cpu_ms_per_req[name]), float(lines.rss_steady_mib[name])
    return [
        f"`{name}`",
        number(cpu_ms, 2),
        number(cpu_ms * CORE_HOURS, 2),
        _saved(lines.cpu_ms_per_req, name),
        number(rss, 0),
        _saved(lines.rss_steady_mib, name),
        number(cold[name], 2) if name in cold.index else "",
    ]


def _saved(values: pd.Series[float], name: str) -> str:
    if name == REFERENCE:
        return ""
    return f"{100 * (1 - float(values[name]) / float(values[REFERENCE])):.0f} %"


def _source(campaign: Campaign, route: str) -> str:
    report = (campaign.folder / "report.html").resolve()
    place = f"../{report.relative_to(paths.ROOT)}" if report.is_relative_to(paths.ROOT) else report.name
    cores = len(campaign.manifest["pinning"]["server"])
    return (
        f"Projected from one server on {cores} core{'s' * (cores > 1)} of {campaign.manifest['machine']['cpu']}:\n"
        f"{route} of unique questions, {campaign.concurrency} in flight, {campaign.blocks} "
        f"block{'s' * (campaign.blocks > 1)}; saved against `{REFERENCE}`.\n"
        f"[{campaign.folder.resolve().name}]({place})"
    )
