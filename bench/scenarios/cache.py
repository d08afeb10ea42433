"""Repeats: what a cache is worth, as the share of the texts that were asked before rises."""

from __future__ import annotations

from bench import measure
from bench.api import Api
from bench.datasets.lengths import RAG_QUERY, Words
from bench.datasets.repeats import repeat
from bench.datasets.stream import TextStream
from bench.plan import BODIES_PER_SECOND, MIN_REQUESTS, Cell, Options
from bench.records import Row
from bench.session import Bench, Live
from bench.targets import Target

HEADLINE = "Requests a second by the share of repeated texts: the hit curve; and one that is remembered, alone"
VERIFIED = False  # everywhere else its caches are off
ROUTE = "embeddings"
CONCURRENCY = 16
REPEATED_PERCENT = (0, 50, 90)
WARMUP = 4 * CONCURRENCY
EVERY = 100  # percent: each text was asked before, and one request is in flight


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """One for each share of repeats, where the harness starts the target."""
    if not target.roles or not target.ingest or ROUTE not in target.capabilities:
        return []
    loads = [*((percent, CONCURRENCY) for percent in REPEATED_PERCENT), (EVERY, 1)]
    return [Cell(block, target, "cache", ROUTE, concurrency, percent=percent) for percent, concurrency in loads]


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """One window of a target whose caches are on; that a repeat costs no forward pass is here its right."""
    profile, share = bench.options.profile, (cell.percent or 0) / 100
    concurrency = cell.concurrency or 1
    count = max(MIN_REQUESTS, int(profile.min_seconds * BODIES_PER_SECOND))
    seed = bench.seed(cell.block) + 1000 * (cell.percent or 0)
    fresh = Words(bench.reference.squad.texts, seed).runs(RAG_QUERY, WARMUP + count)
    every = cell.percent == EVERY
    warmup = fresh[:CONCURRENCY] if every else fresh[:WARMUP]
    timed = (warmup * count)[:count] if every else repeat(fresh[WARMUP:], share, count, seed)
    with bench.start(cell.target.remembering, f"cache{cell.percent}") as running, Api(running) as api:
        running.wait_ready()
        live = Live.of(running, api, TextStream(bench.reference.squad.texts, seed))
        for text in warmup if every else ():  # before the counters are read
            api.post(api.dialect.path(cell.route), api.dialect.body(cell.route, text))
        load = live.load(
            bench.options,
            live.calls(cell.route, warmup),
            live.calls(cell.route, timed),
            concurrency=concurrency,
            min_seconds=profile.min_seconds,
            min_requests=MIN_REQUESTS,
        )
        return [measure.window(bench, cell, live, load, timed, excused=("E_CACHE", "E_NOMODEL")).row]
