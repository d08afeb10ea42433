"""`python -m bench recommend`: recommend a shape, its number of replicas and its cost from a campaign."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument(
        "campaign", type=Path, nargs="?", help="campaign folder; default: the one with the most evidence"
    )
    parser.add_argument("--rps", type=float, required=True, help="requests per second to serve")
    parser.add_argument("--p95-ms", type=float, help="p95 latency limit in ms")
    parser.add_argument("--p99-ms", type=float, help="p99 latency limit in ms; default: the campaign's limit")
    parser.add_argument("--route", default="search", help="search (default) or embeddings")
    parser.add_argument("--headroom", type=float, default=0.7, help="usable share of the capacity; default: 0.7")
    parser.add_argument("--ram-gb", type=float, help="memory of one machine in GiB")
    parser.add_argument("--vcpu", type=float, help="cores of one machine")
    parser.add_argument("--price-hour", type=float, help="hourly price of one machine without a GPU")
    parser.add_argument("--gpu-price-hour", type=float, help="hourly price of one machine with one GPU")
    parser.add_argument("--json", action="store_true", help="print JSON")


def run(arguments: argparse.Namespace) -> int:
    """Print the recommendation. Return 3 if no measured shape fits, else 0."""
    from bench import recommend

    return recommend.run(arguments)
