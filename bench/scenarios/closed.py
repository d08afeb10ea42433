"""The sweep: so many requests in flight, no think time, unique questions, over search and embeddings."""

from __future__ import annotations

from bench import measure
from bench.driver.load import Load
from bench.errors import BenchError
from bench.plan import BODIES_PER_SECOND, MIN_REQUESTS, Cell, Options
from bench.records import Row
from bench.session import Bench, Live
from bench.targets import Target

HEADLINE = "Requests a second and latency by concurrency"
VERIFIED = True


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Every route the target has at every concurrency."""
    if not target.ingest:
        return []
    return [
        Cell(block, target, "closed", route, concurrency)
        for route in target.capabilities
        for concurrency in options.concurrency
    ]


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """One window with texts this server process has never seen; real questions go to it before the warm-up."""
    if live is None or cell.concurrency is None:
        raise BenchError("closed runs against a verified server")
    profile = bench.options.profile
    timed = live.texts.take(max(MIN_REQUESTS, int(profile.min_seconds * BODIES_PER_SECOND)))
    warm = live.texts.take(max(4 * cell.concurrency, int(profile.warmup_seconds * BODIES_PER_SECOND)))
    load = Load(
        port=live.running.front.port,
        path=live.api.dialect.path(cell.route),
        route=cell.route,
        dialect=cell.target.dialect,
        concurrency=cell.concurrency,
        warmup=[live.api.dialect.body(cell.route, text) for text in warm],
        bodies=[live.api.dialect.body(cell.route, text) for text in timed],
        min_seconds=profile.min_seconds,
        max_seconds=profile.max_seconds,
        min_requests=MIN_REQUESTS,
        warmup_seconds=profile.warmup_seconds,
        client=bench.options.client,
    )
    seen = measure.window(bench, cell, live, load, timed)
    live.texts.give_back(warm[seen.warmed :])
    live.texts.give_back(timed[seen.row.requests or 0 :])
    return [seen.row]
