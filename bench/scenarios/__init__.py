"""
Scenarios, one per file. The file's name is the scenario's name.

A scenario is a VerifiedScenario, whose cells run against the block's verified server, or a StandaloneScenario, which
starts a server for each cell. `HEADLINE` is the question that it answers.
"""

from __future__ import annotations

from importlib import import_module
from typing import Protocol, runtime_checkable

from bench.errors import BenchError
from bench.measurement.plan import Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import Row
from bench.targets import Target


@runtime_checkable
class VerifiedScenario(Protocol):
    """The module of a scenario whose cells run against the block's verified server."""

    HEADLINE: str

    def cells(self, target: Target, options: Options, block: int) -> list[Cell]:
        """Return the cells of one target in one block; [] if the scenario does not apply to it."""

    def run(self, bench: Bench, cell: Cell, session: Session) -> list[Row]:
        """Measure one cell; return its rows."""


@runtime_checkable
class StandaloneScenario(Protocol):
    """The module of a scenario that starts a server for each cell."""

    HEADLINE: str

    def cells(self, target: Target, options: Options, block: int) -> list[Cell]:
        """Return the cells of one target in one block; [] if the scenario does not apply to it."""

    def run_alone(self, bench: Bench, cell: Cell) -> list[Row]:
        """Start a server and measure one cell; return its rows, one per replicate."""


Scenario = VerifiedScenario | StandaloneScenario


def load(name: str) -> Scenario:
    """Return the scenario of a file name. Raises BenchError for an unknown scenario."""
    try:
        module = import_module(f"bench.scenarios.{name}")
    except ModuleNotFoundError as error:
        raise BenchError(f"unknown scenario {name!r}") from error
    if isinstance(module, VerifiedScenario | StandaloneScenario):
        return module
    raise BenchError(f"unknown scenario {name!r}")
