"""The results table as Markdown, and its place in the README."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from bench import paths
from bench.errors import BenchError
from bench.report import summary, tables, verdict
from bench.report.summary import Campaign

BEGIN = "<!-- results:begin -->"
END = "<!-- results:end -->"


def write(folder: Path, into: Path | None) -> None:
    """Print the table, or put it between the markers of a file; raises BenchError where there are none."""
    text = render(summary.load(folder))
    if into is None:
        sys.stdout.write(text)
        return
    page = into.read_text()
    if BEGIN not in page or END not in page:
        raise BenchError(f"{into.name} has no {BEGIN} … {END}")
    block = f"{BEGIN}\n{text}{END}"
    into.write_text(re.sub(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: block, page, flags=re.DOTALL))


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
