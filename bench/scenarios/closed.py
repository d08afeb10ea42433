"""The concurrency sweep: a closed loop without think time over unique questions, on search and embeddings."""

from __future__ import annotations

from bench.measurement import window
from bench.measurement.plan import BODIES_PER_SECOND, MIN_REQUESTS, Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import Row
from bench.targets import Target

HEADLINE = "Requests per second and service time by concurrency"
ROUTES = ("search", "embeddings")


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return a cell per concurrency for each of the two routes that the target has."""
    if not target.ingest:
        return []
    return [
        Cell(block, target, "closed", route, concurrency)
        for route in ROUTES
        if route in target.capabilities
        for concurrency in options.concurrency
    ]


def run(bench: Bench, cell: Cell, session: Session) -> list[Row]:
    """Measure one window over texts that this server process has never seen."""
    assert cell.concurrency is not None  # noqa: S101  (`cells` sets it)
    profile = bench.options.profile
    timed = session.texts.take(max(MIN_REQUESTS, int(profile.min_seconds * BODIES_PER_SECOND)))
    warmup = session.texts.take(max(4 * cell.concurrency, int(profile.warmup_seconds * BODIES_PER_SECOND)))
    load = session.load(
        bench.options,
        session.calls(cell.route, warmup),
        session.calls(cell.route, timed),
        concurrency=cell.concurrency,
        min_seconds=profile.min_seconds,
        min_requests=MIN_REQUESTS,
    )
    measurement = window.measure(bench, cell, session, load, timed)
    session.texts.give_back(warmup[measurement.observation.outcome.warmed :])
    session.texts.give_back(timed[measurement.row.requests or 0 :])
    return [measurement.row]
