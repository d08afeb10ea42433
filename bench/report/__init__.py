"""Reports of a campaign: summary.csv, plots and report.html, and the summary on the terminal."""

from __future__ import annotations

from pathlib import Path

from rich.console import Console

from bench.errors import BenchError


def build(folder: Path) -> None:
    """Write summary.csv, the plots and report.html of a campaign from its manifest.json and runs.csv."""
    from bench.analysis import summary
    from bench.report import html, plots

    if not (folder / "manifest.json").exists():
        raise BenchError(f"{folder} is not a campaign, because it has no manifest.json")
    campaign = summary.load(folder)
    campaign.summary.to_csv(folder / "summary.csv", index=False, float_format="%.6g", lineterminator="\n")
    html.write(campaign, plots.draw_all(campaign))


def print_summary(folder: Path, console: Console) -> None:
    """Print the table of results and the headline."""
    from bench.analysis import summary
    from bench.report.tables import terminal

    terminal.show(summary.load(folder), console)
