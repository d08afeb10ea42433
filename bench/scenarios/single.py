"""One request in flight: latency without queueing."""

from __future__ import annotations

from bench.measurement.plan import Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import Row
from bench.scenarios import closed
from bench.targets import Target

HEADLINE = "p50 and p99 without queueing: one request in flight"


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return a cell each for search and embeddings, if the target has them."""
    routes = [route for route in closed.ROUTES if route in target.capabilities]
    return [Cell(block, target, "single", route, 1) for route in routes] if target.ingest else []


def run(bench: Bench, cell: Cell, session: Session) -> list[Row]:
    """Measure one window of the closed loop."""
    return closed.run(bench, cell, session)
