"""The end of a run on the terminal: the table, what was refused, the sentence."""

from __future__ import annotations

from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import paths
from bench.report import tables, verdict
from bench.report.summary import Campaign


def show(campaign: Campaign, console: Console) -> None:
    """Print the results at the headline concurrency, the refusals, the sentence and where the rest is."""
    content = tables.results(campaign)
    table = Table(title=content.title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD)
    for number, column in enumerate(content.columns):
        header = column.replace("p50 / ", "p50/").replace(" ", "\n").replace("\n÷\n", "\n÷ ")
        table.add_column(header, justify="right" if number else "left", no_wrap=not number)
    for line in content.rows:
        table.add_row(*(escape(cell) for cell in line))
    console.print()
    console.print(table)
    for note in tables.notes(campaign):
        console.print(note, style="dim", highlight=False, soft_wrap=True)
    console.print()
    console.print(verdict.sentence(campaign), style="bold", highlight=False, soft_wrap=True)
    console.print(f"{_shown(campaign.folder)}/report.html", highlight=False, soft_wrap=True)


def _shown(folder: Path) -> Path:
    resolved = folder.resolve()
    return resolved.relative_to(paths.ROOT) if resolved.is_relative_to(paths.ROOT) else resolved
