"""Repeats: what a cache is worth, as the share of the texts that were asked before rises."""

from __future__ import annotations

from bench import measure
from bench.datasets.lengths import RAG_QUERY, Words
from bench.datasets.repeats import repeat
from bench.errors import BenchError
from bench.plan import BODIES_PER_SECOND, MIN_REQUESTS, Cell, Options
from bench.records import Row
from bench.scenarios import closed
from bench.session import Bench, Live
from bench.targets import Target

HEADLINE = "Requests a second by the share of repeated texts: the hit curve"
VERIFIED = True
CONCURRENCY = 16
REPEATED_PERCENT = (0, 50, 90)
WARMUP = 4 * CONCURRENCY


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """One for each share of repeats, of search where the target has it."""
    routes = [route for route in closed.ROUTES if route in target.capabilities]
    if not target.ingest or not routes:
        return []
    return [Cell(block, target, "cache", routes[0], CONCURRENCY, percent=percent) for percent in REPEATED_PERCENT]


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """One window; that a repeat costs no forward pass is here the target's right."""
    if live is None or cell.percent is None:
        raise BenchError("cache runs against a verified server")
    profile = bench.options.profile
    count = max(MIN_REQUESTS, int(profile.min_seconds * BODIES_PER_SECOND))
    seed = bench.seed(cell.block) + 1000 * cell.percent
    fresh = Words(bench.reference.squad.texts, seed).runs(RAG_QUERY, WARMUP + count)
    timed = repeat(fresh[WARMUP:], cell.percent / 100, count, seed)
    load = live.load(
        bench.options,
        live.calls(cell.route, fresh[:WARMUP]),
        live.calls(cell.route, timed),
        concurrency=CONCURRENCY,
        min_seconds=profile.min_seconds,
        min_requests=MIN_REQUESTS,
    )
    return [measure.window(bench, cell, live, load, timed, excused=("E_CACHE", "E_NOMODEL")).row]
