"""The results on the terminal at the end of a run: what decides, table, refusals, headline."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import paths
from bench.analysis import headline
from bench.analysis.summary import Campaign
from bench.report.tables import decision, results
from bench.report.tables.results import Content


def show(campaign: Campaign, recommended: Sequence[str], console: Console) -> None:
    """Print results, notes, the rates held, the headline, the sentences that recommend, and the report's path."""
    console.print()
    console.print(_lay_out(results.results(campaign)))
    for note in results.notes(campaign):
        console.print(note, style="dim", highlight=False, soft_wrap=True)
    console.print()
    decisions = decision.tables(campaign)
    for content in decisions:
        console.print(_lay_out(content))
    if apart := decision.recommend_by(decisions):
        console.print(f"{apart}\n", highlight=False, soft_wrap=True)
    console.print(headline.sentence(campaign), style="bold", highlight=False, soft_wrap=True)
    for sentence in recommended:
        console.print(sentence, highlight=False, soft_wrap=True)
    console.print(f"{_shorten_path(campaign.folder)}/report.html", highlight=False, soft_wrap=True)


def _lay_out(content: Content) -> Table:
    table = Table(title=content.title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD)
    for number, column in enumerate(content.columns):
        header = column.replace("p50 / ", "p50/").replace(" ", "\n").replace("\n÷\n", "\n÷ ")
        table.add_column(header, justify="right" if number else "left", no_wrap=not number)
    for line in content.rows:
        table.add_row(*(escape(cell) for cell in line))
    return table


def _shorten_path(folder: Path) -> Path:
    resolved = folder.resolve()
    return resolved.relative_to(paths.ROOT) if resolved.is_relative_to(paths.ROOT) else resolved
