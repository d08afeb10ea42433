"""`python -m bench run | compare | quality | recommend | reference | report | simulate | table`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import command
from bench.errors import BenchError

KINDS = ("results", "savings", "scaling", "quality", "fusion", "storage")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it did what was asked, 3 when nothing measured fits, 130 when Ctrl-C ended it."""
    arguments = _parser().parse_args(argv)
    try:
        return int(arguments.command(arguments))
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m bench", description="The harness: verify, then measure.")
    commands = parser.add_subparsers(required=True, metavar="command")
    _run_parser(commands.add_parser("run", help="make a campaign"))
    _compare_parser(commands.add_parser("compare", help="two campaigns, or two revisions: 1 when B is slower"))
    _quality_parser(commands.add_parser("quality", help="how well each way of searching finds what answers"))
    _fusion_parser(commands.add_parser("fusion", help="which weights fuse rankings best, fitted on several corpora"))
    _recommend_parser(commands.add_parser("recommend", help="which shape, how many, what cost: from a campaign"))
    _reference_parser(commands.add_parser("reference", help="compute the reference vectors"))
    _report_parser(commands.add_parser("report", help="draw the plots and the HTML of a campaign again"))
    _simulate_parser(commands.add_parser("simulate", help="latency at rates and numbers that nobody measured"))
    _table_parser(commands.add_parser("table", help="print a table of a campaign as Markdown"))
    return parser


def _run_parser(parser: argparse.ArgumentParser) -> None:
    command.add_options(parser)
    parser.set_defaults(command=_run)


def _compare_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("campaigns", type=Path, nargs="*", metavar="campaign", help="two folders, A and then B")
    parser.add_argument("--revisions", nargs=2, metavar=("A", "B"), help="git revisions to measure here, in turn")
    parser.add_argument("--target", help="of --revisions: pseudo; of campaigns: all")
    parser.add_argument("--route", help="of --revisions: search; of campaigns: all")
    parser.add_argument("--concurrency", type=int, help="of --revisions: 8; of campaigns: all")
    parser.add_argument("--blocks", type=int, help="of --revisions: 5")
    parser.add_argument("--metric", help="of --revisions: cpu_ms_per_req, instructions, rps or p99_ms; else a column")
    parser.set_defaults(command=_compare)


def _quality_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--corpus", default="squad", help="squad (default), a BEIR folder, or a file of JSON lines")
    parser.add_argument("--beir", help="a BEIR folder: the same as --corpus")
    parser.add_argument("--gateways", "--gateway", default="onnx_py", help="by comma; default: onnx_py")
    parser.add_argument("--questions", type=int, default=2_000, help="at most; default: 2000")
    parser.add_argument("--glued", action="store_true", help="passages glued into long documents and cut again, too")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", help="a CSV file, with its plot beside it; default: under results/")
    parser.set_defaults(command=_quality)


def _fusion_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("corpora", nargs="+", help="two or more: squad, BEIR folders, files of JSON lines")
    parser.add_argument("--gateway", default="onnx_py")
    parser.add_argument("--questions", type=int, default=1_000, help="of each corpus, at most; default: 1000")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", help="a folder; default: under results/")
    parser.set_defaults(command=_fusion)


def _recommend_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("campaign", type=Path, nargs="?", help="default: the newest of this machine, else of any")
    parser.add_argument("--rps", type=float, required=True, help="requests a second to serve")
    parser.add_argument("--p95-ms", type=float, help="the latency that 95 % of them keep")
    parser.add_argument("--p99-ms", type=float, help="the latency that 99 % keep; default: the campaign's own limit")
    parser.add_argument("--route", default="search", help="search (default) or embeddings")
    parser.add_argument("--headroom", type=float, default=0.7, help="share of the capacity that is used: 0.7")
    parser.add_argument("--ram-gb", type=float, help="memory of one machine, GiB")
    parser.add_argument("--vcpu", type=float, help="cores of one machine")
    parser.add_argument("--price-hour", type=float, help="price of one machine without a GPU for an hour")
    parser.add_argument("--gpu-price-hour", type=float, help="the same with one GPU: for shapes measured on a GPU")
    parser.add_argument("--json", action="store_true", help="the answer as JSON")
    parser.set_defaults(command=_recommend)


def _reference_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--corpus", default="squad", help="squad (default), a BEIR folder, or a file of JSON lines")
    parser.set_defaults(command=_reference)


def _report_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("campaign", type=Path)
    parser.set_defaults(command=_report)


def _simulate_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("campaign", type=Path, nargs="?", help="default: the newest of this machine, else of any")
    parser.add_argument("--rps", type=float, help="requests a second; without, the campaign itself is predicted")
    parser.add_argument("--replicas", type=int, default=1, help="which share them evenly, by chance; default: 1")
    parser.add_argument("--target", default="onnx_py")
    parser.add_argument("--route", default="search", help="search (default) or embeddings")
    parser.set_defaults(command=_simulate)


def _table_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("campaign", type=Path)
    parser.add_argument("--kind", choices=KINDS, default="results")
    parser.add_argument("--into", type=Path, help="write it between its markers in this file")
    parser.set_defaults(command=_table)


def _run(arguments: argparse.Namespace) -> int:
    from bench.run import run

    return run(arguments)


def _compare(arguments: argparse.Namespace) -> int:
    """2 instead of 1 where nothing could be compared: 1 is the word of the gate."""
    from bench import compare
    from bench.run import console

    try:
        return compare.run(arguments, console)
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        return 2


def _quality(arguments: argparse.Namespace) -> int:
    from bench import retrieval
    from bench.run import console

    return retrieval.run(arguments, console)


def _fusion(arguments: argparse.Namespace) -> int:
    from bench.retrieval import fusion
    from bench.run import console

    return fusion.run(arguments, console)


def _recommend(arguments: argparse.Namespace) -> int:
    from bench.recommend import run

    return run(arguments)


def _reference(arguments: argparse.Namespace) -> int:
    from bench.run import reference

    reference(arguments.corpus)
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from bench.report import build

    build(arguments.campaign)
    return 0


def _simulate(arguments: argparse.Namespace) -> int:
    from bench.simulate import run

    return run(arguments)


def _table(arguments: argparse.Namespace) -> int:
    from bench.report import markdown, savings, scaling
    from bench.retrieval import markdown as of_searches

    of_campaign = {"results": markdown.write, "savings": savings.write, "scaling": scaling.write}
    if arguments.kind in of_campaign:
        of_campaign[arguments.kind](arguments.campaign, arguments.into)
    else:
        of_searches.write(arguments.campaign, arguments.kind, arguments.into)
    return 0


if __name__ == "__main__":
    sys.exit(main())
