"""The results table as Markdown, and its place in the README."""

from __future__ import annotations

from pathlib import Path

from bench import paths
from bench.report import pages, summary, tables, verdict
from bench.report.summary import Campaign


def write(folder: Path, into: Path | None) -> None:
    """Print the table, or put it between the results markers of a file; raises BenchError where there are none."""
    pages.put(render(summary.load(folder)), "results", into)


def render(campaign: Campaign) -> str:
    """The sentence, the table, and where it comes from."""
    content = tables.results(campaign)
    lines = [
        f"**{verdict.sentence(campaign)}**",
        "",
        _row(content.columns),
        "|".join(["", "---", *["---:"] * (len(content.columns) - 1), ""]),
        *(_row(row) for row in content.rows),
        "",
        *(f"- {note}" for note in tables.notes(campaign)),
        f"- {_source(campaign)}",
    ]
    return "\n".join(lines) + "\n"


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _source(campaign: Campaign) -> str:
    machine, pinning = campaign.manifest["machine"], campaign.manifest["pinning"]
    folder = campaign.folder.resolve()
    place = folder.relative_to(paths.ROOT) if folder.is_relative_to(paths.ROOT) else Path(folder.name)
    return (
        f"{machine['cpu']}, {machine['cores']} cores (server on {len(pinning['server'])}, driver on "
        f"{len(pinning['driver'])}), {campaign.concurrency} in flight, unique SQuAD questions; raw rows, plots and "
        f"report in [{place}]({place}); `{campaign.manifest['command']}`"
    )
