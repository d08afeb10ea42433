"""CPU and memory that each shape saves against the Python monolith, as a Markdown table."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from bench.analysis import cells, summary
from bench.analysis.headline import headline_route
from bench.analysis.summary import Campaign
from bench.errors import BenchError
from bench.report.tables import marked_block
from bench.report.tables.results import number, warm_starts

REFERENCE = "python"
COLUMNS = ["shape", "CPU ms/request", "core hours a million", "saves", "RSS MiB", "saves", "starts in s, warm files"]
CORE_HOURS = 1e6 / 1000 / 3600  # core hours of a million requests, for each CPU ms per request


def write(folder: Path, into: Path | None) -> None:
    """Print the table, or write it between the savings markers of a file; raises BenchError if there are none."""
    marked_block.put(render(summary.load(folder)), "savings", into)


def render(campaign: Campaign) -> str:
    """Return the table and its source; raises BenchError for a campaign without a sound run of the monolith."""
    route = headline_route(campaign)
    lines = campaign.lines("closed", route, campaign.concurrency)
    lines = lines[lines.ranked.astype(bool) & ~lines.peer.astype(bool) & lines.cpu_ms_per_req.notna()]
    lines = lines[~lines.index.isin(campaign.on_gpu)]  # a GPU saves CPU time, but the card has a cost
    if REFERENCE not in lines.index:
        raise BenchError(f"{campaign.folder.name} has no sound {route} run of {REFERENCE} to save from")
    cold = warm_starts(campaign).first_answer_s
    order = sorted(map(str, lines.index), key=lambda name: -float(lines.cpu_ms_per_req[name]))
    rows = [_format_line(campaign, route, name, lines, cold) for name in order]
    table = [COLUMNS, ["---", *["---:"] * (len(COLUMNS) - 1)], *rows]
    return "\n".join([*(f"| {' | '.join(cells)} |" for cells in table), "", _describe_source(campaign, route)]) + "\n"


def _format_line(campaign: Campaign, route: str, name: str, lines: pd.DataFrame, cold: pd.Series[float]) -> list[str]:
    cpu_ms, rss = float(lines.cpu_ms_per_req[name]), float(lines.rss_steady_mib[name])
    return [
        f"`{name}`",
        number(cpu_ms, 2),
        number(cpu_ms * CORE_HOURS, 2),
        _format_saving(campaign, route, name, "cpu_ms_per_req"),
        number(rss, 0),
        _format_saving(campaign, route, name, "rss_steady_mib"),
        number(cold[name], 2) if name in cold.index else "",
    ]


def _format_saving(campaign: Campaign, route: str, name: str, column: str) -> str:
    """Return what a shape saves with its interval; words where the blocks or the A/A band do not show a saving."""
    if name == REFERENCE:
        return ""
    key = cells.key(name, "closed", route, concurrency=campaign.concurrency)
    compared = cells.compare(campaign.cells, key, REFERENCE, column)
    if compared is None or compared.bounds is None:
        return "too few blocks"
    if compared.word == "equivalent":
        return "nothing (within 5 %)"
    if compared.word == "inconclusive":
        return "not told apart"
    low, high = (100 * (1 - bound) for bound in reversed(compared.bounds))
    return f"{100 * (1 - compared.ratio):.0f} % [{low:.0f}, {high:.0f}]"


def _describe_source(campaign: Campaign, route: str) -> str:
    cores = len(campaign.manifest["pinning"]["server"])
    return (
        f"Projected from one server on {cores} core{'s' * (cores > 1)} of {campaign.manifest['machine']['cpu']}:\n"
        f"{route} of unique questions, {campaign.concurrency} in flight, {campaign.blocks} "
        f"block{'s' * (campaign.blocks > 1)}; saved against `{REFERENCE}`.\n"
        f"{marked_block.source_link(campaign.folder / 'report.html')}"
    )
