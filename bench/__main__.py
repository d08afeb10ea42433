"""The command line, `python -m bench <verb>`. Each verb is a file in bench/commands."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import Protocol, cast

from bench import terminal_text
from bench.errors import BenchError

VERBS = {
    "run": "measure a campaign: verify every target, then time it",
    "compare": "compare two campaigns or two git revisions; exit code 1 if B is slower",
    "quality": "measure the retrieval quality of each search mode",
    "fusion": "fit the weights of score fusion on several corpora",
    "recommend": "recommend a shape, its number of replicas and its cost from a campaign",
    "reference": "compute the reference vectors of a corpus",
    "report": "redraw the plots and rewrite report.html of a campaign",
    "simulate": "predict latency at request rates and replica counts that were not measured",
    "table": "print a table of a campaign or a study as Markdown",
}


class Command(Protocol):
    """The module of one verb."""

    def add_options(self, parser: argparse.ArgumentParser) -> None:
        """Add the verb's options to `parser`."""

    def run(self, arguments: argparse.Namespace) -> int:
        """Run the verb and return its exit code."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit code: 1 if the verb raised BenchError."""
    terminal_text.adapt_output()
    words = sys.argv[1:] if argv is None else list(argv)
    parser = argparse.ArgumentParser(prog="python -m bench", description="Benchmark harness: verify, then measure.")
    verbs = parser.add_subparsers(required=True, metavar="verb")
    for verb, help_text in VERBS.items():
        subparser = verbs.add_parser(verb, help=help_text)
        # Import only the verb that runs, so that `--help` does not import pandas.
        if verb in words[:1]:
            command = cast(Command, import_module(f"bench.commands.{verb}"))
            command.add_options(subparser)
            subparser.set_defaults(run=command.run)
    arguments = parser.parse_args(words)
    try:
        return int(arguments.run(arguments))
    except BenchError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
