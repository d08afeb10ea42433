"""From runs.csv to what people read: summary.csv, plots, report.html, the table and the sentence."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.errors import BenchError


def build(folder: Path) -> None:
    """Write summary.csv, the plots and report.html of a campaign anew from its manifest and runs."""
    from bench.report import html, plots, summary

    if not (folder / "manifest.json").exists():
        raise BenchError(f"{folder} is not a campaign: no manifest.json")
    campaign = summary.load(folder)
    campaign.summary.to_csv(folder / "summary.csv", index=False, float_format="%.6g", lineterminator="\n")
    html.write(campaign, plots.draw_all(campaign))


def print_summary(folder: Path, console: Console) -> None:
    """The table and the sentence, on the terminal."""
    from bench.report import summary, terminal

    terminal.show(summary.load(folder), console)
