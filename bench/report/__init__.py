"""Reports of a campaign: summary.csv, plots and report.html, and the summary on the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.errors import BenchError


def build(folder: Path) -> None:
    """Write the CSV files with their description, the plots and report.html, from manifest.json and runs.csv."""
    from bench.analysis import summary
    from bench.report import datapackage, html, plots

    if not (folder / "manifest.json").exists():
        raise BenchError(f"{folder} is not a campaign, because it has no manifest.json")
    campaign = summary.load(folder)
    campaign.summary.to_csv(folder / "summary.csv", index=False, float_format="%.6g", lineterminator="\n")
    datapackage.write(campaign)
    html.write(campaign, plots.draw_all(campaign))


def print_summary(folder: Path, console: Console) -> None:
    """Print the table of results, what decides, the headline and the recommendation."""
    from bench.analysis import summary
    from bench.recommend import recommendation
    from bench.report.tables import terminal

    campaign = summary.load(folder)
    terminal.show(campaign, recommendation(campaign), console)
