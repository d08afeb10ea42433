"""`python -m bench report`: redraw the plots and rewrite report.html of a campaign."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("campaign", type=Path, help="campaign folder")


def run(arguments: argparse.Namespace) -> int:
    """Write plots/ and report.html into the campaign's folder."""
    from bench.report import build

    build(arguments.campaign)
    return 0
