"""`python -m bench fusion`: fit the weights of score fusion on several corpora."""

from __future__ import annotations

import argparse


def add_options(parser: argparse.ArgumentParser) -> None:
    """Add the options of this verb."""
    parser.add_argument("corpora", nargs="+", help="two or more: squad, BEIR folders, JSON Lines files")
    parser.add_argument("--gateway", default="onnx_py", help="the target that searches; default: onnx_py")
    parser.add_argument("--questions", type=int, default=1_000, help="maximum per corpus; default: 1000")
    parser.add_argument("--seed", type=int, default=1, help="seed of the drawn questions; default: 1")
    parser.add_argument("--out", help="output folder; default: results/studies/<machine>/<date>-fusion")


def run(arguments: argparse.Namespace) -> int:
    """Fit the weights; write them and the nDCG@10 of each fusion."""
    from bench.commands.progress import console
    from bench.retrieval import fusion

    return fusion.run(arguments, console)
