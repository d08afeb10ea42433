"""`python -m bench run | reference | report | table`."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.errors import BenchError


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; 0 when it did what was asked, 130 when Ctrl-C ended it."""
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
    reference = commands.add_parser("reference", help="compute the reference vectors")
    reference.set_defaults(command=_reference)
    report = commands.add_parser("report", help="draw the plots and the HTML of a campaign again")
    report.add_argument("campaign", type=Path)
    report.set_defaults(command=_report)
    table = commands.add_parser("table", help="print a campaign's results as a Markdown table")
    table.add_argument("campaign", type=Path)
    table.add_argument("--into", type=Path, help="write it between the results markers of this file")
    table.set_defaults(command=_table)
    return parser


def _run_parser(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--profile", choices=("quick", "full"), default=_env("PROFILE", "quick"))
    parser.add_argument("--gateways", default=_env("GATEWAYS"), help="targets, by comma; default: all of ours")
    parser.add_argument("--peers", action="store_true", default=_env("PEERS", "0") not in ("0", ""))
    parser.add_argument("--concurrency", default=_env("CONCURRENCY", "1,4,16,64"), help="by comma")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default=_env("DEVICE", "auto"))
    parser.add_argument("--scenarios", help="by comma; default: all")
    parser.add_argument("--blocks", type=int, help="instead of the profile's")
    parser.add_argument("--twin", action="store_true", help="enter one target twice: the A/A noise band")
    parser.add_argument("--client", choices=("raw", "httpx"), default="raw")
    parser.add_argument("--server-cores", help="such as 1-3; default: all but the driver's")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--campaign", help="its name; one that exists is resumed")
    parser.add_argument("--results", type=Path, help="instead of results/")
    parser.set_defaults(command=_run)


def _env(name: str, default: str | None = None) -> str | None:
    """An option's default from the environment; an empty variable is no variable."""
    return os.environ.get(name) or default


def _run(arguments: argparse.Namespace) -> int:
    from bench.run import run

    return run(arguments)


def _reference(_: argparse.Namespace) -> int:
    from bench.run import reference

    reference()
    return 0


def _report(arguments: argparse.Namespace) -> int:
    from bench.report import build

    build(arguments.campaign)
    return 0


def _table(arguments: argparse.Namespace) -> int:
    from bench.report.markdown import write

    write(arguments.campaign, arguments.into)
    return 0


if __name__ == "__main__":
    sys.exit(main())
