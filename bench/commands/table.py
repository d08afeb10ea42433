"""`python -m bench table`: print a table of a campaign or a study as Markdown."""

from __future__ import annotations

import argparse
from pathlib import Path

KINDS = ("results", "savings", "scaling", "quality", "fusion", "storage")


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("campaign", type=Path, help="folder of a campaign, or of a study")
    parser.add_argument("--kind", choices=KINDS, default="results", help="default: results")
    parser.add_argument("--into", type=Path, help="write the table between its markers in this file")


def run(arguments: argparse.Namespace) -> int:
    """Print the table, or write it between its markers in a file."""
    from bench.report.tables import markdown, savings, scaling
    from bench.retrieval import markdown as retrieval_markdown

    campaign_tables = {"results": markdown.write, "savings": savings.write, "scaling": scaling.write}
    if arguments.kind in campaign_tables:
        campaign_tables[arguments.kind](arguments.campaign, arguments.into)
    else:
        retrieval_markdown.write(arguments.campaign, arguments.kind, arguments.into)
    return 0
