"""`python -m bench simulate`: predict latency at request rates and replica counts that were not measured."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument(
        "campaign", type=Path, nargs="?", help="campaign folder; default: the newest of this machine, else of any"
    )
    parser.add_argument("--rps", type=float, help="requests per second; default: check predictions of the campaign")
    parser.add_argument("--replicas", type=int, default=1, help="replicas behind random load balancing; default: 1")
    parser.add_argument("--target", default="onnx_py", help="default: onnx_py")
    parser.add_argument("--route", default="search", help="search (default) or embeddings")


def run(arguments: argparse.Namespace) -> int:
    """Print a prediction. Without --rps, check predictions of a campaign; return 1 if one is over 25 % off."""
    from bench import simulate

    return simulate.run(arguments)
