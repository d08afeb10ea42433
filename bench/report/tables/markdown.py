"""The results table as Markdown, between its markers in the README."""

from __future__ import annotations

from pathlib import Path

from bench import paths
from bench.analysis import headline, summary
from bench.analysis.summary import Campaign
from bench.report.tables import marked_block, results


def write(folder: Path, into: Path | None) -> None:
    """Print the table, or write it between the results markers of a file; raises BenchError if there are none."""
    marked_block.put(render(summary.load(folder)), "results", into)


def render(campaign: Campaign) -> str:
    """Return the headline, the table, the notes and the source."""
    content = results.results(campaign)
    lines = [
        f"**{headline.sentence(campaign)}**",
        "",
        _format_row(content.columns),
        "|".join(["", "---", *["---:"] * (len(content.columns) - 1), ""]),
        *(_format_row(row) for row in content.rows),
        "",
        *(f"- {note}" for note in results.notes(campaign)),
        f"- {_describe_source(campaign)}",
    ]
    return "\n".join(lines) + "\n"


def _format_row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _describe_source(campaign: Campaign) -> str:
    machine, pinning = campaign.manifest["machine"], campaign.manifest["pinning"]
    folder = campaign.folder.resolve()
    place = folder.relative_to(paths.ROOT) if folder.is_relative_to(paths.ROOT) else Path(folder.name)
    return (
        f"{machine['cpu']}, {machine['cores']} cores (server on {len(pinning['server'])}, driver on "
        f"{len(pinning['driver'])}), {campaign.concurrency} in flight, unique SQuAD questions; raw rows, plots and "
        f"report in [{place}]({place}); `{campaign.manifest['command']}`"
    )
