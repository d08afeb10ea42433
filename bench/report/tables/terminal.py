"""The results on the terminal at the end of a run: table, refusals, headline."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import paths
from bench.analysis import headline
from bench.analysis.summary import Campaign
from bench.report.tables import results


def show(campaign: Campaign, console: Console) -> None:
    """Print the results at the headline concurrency, the notes, the headline and the path of the report."""
    content = results.results(campaign)
    table = Table(title=content.title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD)
    for number, column in enumerate(content.columns):
        header = column.replace("p50 / ", "p50/").replace(" ", "\n").replace("\n÷\n", "\n÷ ")
        table.add_column(header, justify="right" if number else "left", no_wrap=not number)
    for line in content.rows:
        table.add_row(*(escape(cell) for cell in line))
    console.print()
    console.print(table)
    for note in results.notes(campaign):
        console.print(note, style="dim", highlight=False, soft_wrap=True)
    console.print()
    console.print(headline.sentence(campaign), style="bold", highlight=False, soft_wrap=True)
    console.print(f"{_shorten_path(campaign.folder)}/report.html", highlight=False, soft_wrap=True)


def _shorten_path(folder: Path) -> Path:
    resolved = folder.resolve()
    return resolved.relative_to(paths.ROOT) if resolved.is_relative_to(paths.ROOT) else resolved
