"""
One file per scenario; the file's name is the scenario's name.

Each has `HEADLINE` (what it answers), `VERIFIED` (whether its cells run against the block's verified server, or it
starts its own), `cells(target, options, block)` and `run(bench, cell, live)`; `live` is None where VERIFIED is false.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, cast

from bench.errors import BenchError
from bench.plan import Cell, Options
from bench.records import Row
from bench.session import Bench, Live
from bench.targets import Target


class Scenario(Protocol):
    """What a scenario's module holds."""

    HEADLINE: str
    VERIFIED: bool

    def cells(self, target: Target, options: Options, block: int) -> list[Cell]:
        """The cells of one target in one block; none where the scenario is not for it."""

    def run(self, bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
        """Measure one cell; a row per replicate."""


def load(name: str) -> Scenario:
    """The scenario of that file name; raises BenchError for one that is not there."""
    try:
        return cast(Scenario, import_module(f"bench.scenarios.{name}"))
    except ModuleNotFoundError as error:
        raise BenchError(f"unknown scenario {name!r}") from error
