"""The sweep: so many requests in flight, no think time, unique questions, over search and embeddings."""

from __future__ import annotations

from bench import measure
from bench.errors import BenchError
from bench.plan import BODIES_PER_SECOND, MIN_REQUESTS, Cell, Options
from bench.records import Row
from bench.session import Bench, Live
from bench.targets import Target

HEADLINE = "Requests a second and service time by concurrency"
VERIFIED = True
ROUTES = ("search", "embeddings")


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Each of both routes that the target has, at every concurrency."""
    if not target.ingest:
        return []
    return [
        Cell(block, target, "closed", route, concurrency)
        for route in ROUTES
        if route in target.capabilities
        for concurrency in options.concurrency
    ]


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """One window with texts this server process has never seen."""
    if live is None or cell.concurrency is None:
        raise BenchError("closed runs against a verified server")
    profile = bench.options.profile
    timed = live.texts.take(max(MIN_REQUESTS, int(profile.min_seconds * BODIES_PER_SECOND)))
    warm = live.texts.take(max(4 * cell.concurrency, int(profile.warmup_seconds * BODIES_PER_SECOND)))
    load = live.load(
        bench.options,
        live.calls(cell.route, warm),
        live.calls(cell.route, timed),
        concurrency=cell.concurrency,
        min_seconds=profile.min_seconds,
        min_requests=MIN_REQUESTS,
    )
    seen = measure.window(bench, cell, live, load, timed)
    live.texts.give_back(warm[seen.seen.outcome.warmed :])
    live.texts.give_back(timed[seen.row.requests or 0 :])
    return [seen.row]
