"""`python -m bench quality`: measure the retrieval quality of each search mode."""

from __future__ import annotations

import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("--corpus", default="squad", help="squad (default), a BEIR folder or a JSON Lines file")
    parser.add_argument("--beir", help="a BEIR folder; the same as --corpus")
    parser.add_argument("--gateways", "--gateway", default="onnx_py", help="comma-separated; default: onnx_py")
    parser.add_argument("--questions", type=int, default=2_000, help="maximum number; default: 2000")
    parser.add_argument(
        "--glued", action="store_true", help="also join passages into long documents that the server chunks again"
    )
    parser.add_argument("--seed", type=int, default=1, help="seed of the drawn questions; default: 1")
    parser.add_argument("--out", help="output CSV file, with its plot beside it; default: results/studies")


def run(arguments: argparse.Namespace) -> int:
    """Search with every gateway in every mode; write a table and a plot."""
    from bench import retrieval
    from bench.commands.progress import console

    return retrieval.run(arguments, console)
