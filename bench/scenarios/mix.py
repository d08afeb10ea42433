"""
Work like users': mixes of searches, embeddings and ingestion over texts of many lengths, or the log of --trace.

A closed loop gives the maximum of each mix. The search of `slo` then finds the rate held within the mix's limit.
"""

from __future__ import annotations

from bench.measurement import window
from bench.measurement.plan import MIN_REQUESTS, Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import HEADLINE_CONCURRENCY, Row
from bench.scenarios import slo, workloads
from bench.targets import Target

HEADLINE = "Requests per second of a mix within its p99 limit"
NAME = "mix"
CALLS = 12_000  # more than a target without a model answers in a window


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return two cells for each mix that the target can serve: its closed loop, and its search for the rate held."""
    routes = workloads.mix_routes(target, options)
    closed = [Cell(block, target, NAME, route, HEADLINE_CONCURRENCY) for route in routes]
    return [*closed, *(Cell(block, target, slo.NAME, route) for route in routes)]


def run(bench: Bench, cell: Cell, session: Session) -> list[Row]:
    """Measure one window of the closed loop, of at least the profile's `slo_seconds`."""
    assert cell.concurrency is not None  # noqa: S101  (`cells` sets it)
    profile = bench.options.profile
    timed = workloads.draw(bench, session, cell.route, CALLS, (bench.seed(cell.block), 0))
    warmup = workloads.draw(bench, session, cell.route, 4 * cell.concurrency, (bench.seed(cell.block), 1))
    load = session.load(
        bench.options,
        warmup.calls,
        timed.calls,
        concurrency=cell.concurrency,
        min_seconds=profile.slo_seconds / 2,
        max_seconds=profile.slo_max_seconds,
        min_requests=MIN_REQUESTS,
    )
    return [window.measure(bench, cell, session, load, timed.texts, excused=("E_STALL",)).row]
