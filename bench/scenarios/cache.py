"""The benefit of a cache by the share of repeated texts. This is the only scenario with the target's caches on."""

from __future__ import annotations

from bench.datasets.lengths import RAG_QUERY, Words
from bench.datasets.unseen_texts import TextStream
from bench.datasets.zipf_repeats import repeat
from bench.measurement import window
from bench.measurement.plan import BODIES_PER_SECOND, MIN_REQUESTS, Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import Row
from bench.targets import Target
from bench.targets.api_client import Api

HEADLINE = "Requests per second by the share of repeated texts, and for a cached text alone"
ROUTE = "embeddings"
CONCURRENCY = 16
REPEATED_PERCENT = (0, 50, 90)
WARMUP = 4 * CONCURRENCY
EVERY = 100  # percent: every text is a repeat, with one request in flight


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return one cell per share of repeats, for a target that the harness starts."""
    if not target.roles or not target.ingest or ROUTE not in target.capabilities:
        return []
    loads = [*((percent, CONCURRENCY) for percent in REPEATED_PERCENT), (EVERY, 1)]
    return [Cell(block, target, "cache", ROUTE, concurrency, percent=percent) for percent, concurrency in loads]


def run_alone(bench: Bench, cell: Cell) -> list[Row]:
    """Measure one window with the caches on. A repeat without a forward pass is no fault here."""
    profile, share = bench.options.profile, (cell.percent or 0) / 100
    concurrency = cell.concurrency or 1
    count = max(MIN_REQUESTS, int(profile.min_seconds * BODIES_PER_SECOND))
    seed = bench.seed(cell.block) + 1000 * (cell.percent or 0)
    fresh = Words(bench.reference.squad.texts, seed).cut(RAG_QUERY, WARMUP + count)
    repeats_only = cell.percent == EVERY
    warmup = fresh[:CONCURRENCY] if repeats_only else fresh[:WARMUP]
    timed = (warmup * count)[:count] if repeats_only else repeat(fresh[WARMUP:], share, count, seed)
    with bench.start(cell.target.with_caches, f"cache{cell.percent}") as server, Api(server) as api:
        server.wait_ready()
        session = Session.open(server, api, TextStream(bench.reference.squad.texts, seed))
        for text in warmup if repeats_only else ():  # fill the cache before the counters are read
            api.post(api.dialect.path(cell.route), api.dialect.body(cell.route, text))
        load = session.load(
            bench.options,
            session.calls(cell.route, warmup),
            session.calls(cell.route, timed),
            concurrency=concurrency,
            min_seconds=profile.min_seconds,
            min_requests=MIN_REQUESTS,
        )
        return [window.measure(bench, cell, session, load, timed, excused=("E_CACHE", "E_NOMODEL")).row]
