"""One request in flight: what a request takes when nothing waits."""

from __future__ import annotations

from bench.plan import Cell, Options
from bench.records import Row
from bench.scenarios import closed
from bench.session import Bench, Live
from bench.targets import Target

HEADLINE = "The floor of p50 and p99: one request in flight"
VERIFIED = True


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Search and embeddings, where the target has them."""
    routes = [route for route in closed.ROUTES if route in target.capabilities]
    return [Cell(block, target, "single", route, 1) for route in routes] if target.ingest else []


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """One window of the closed loop."""
    return closed.run(bench, cell, live)
