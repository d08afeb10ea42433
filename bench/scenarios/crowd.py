"""
A crowd: 1,500 connections in a closed loop without think time, for ten seconds.

Each client sends its next request at once, even after a refusal, and has the p99 limit as its X-Request-Timeout-Ms.
Answers 429, 503 and 504 are no errors here.
"""

from __future__ import annotations

from bench.measurement import window
from bench.measurement.plan import BODIES_PER_SECOND, Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import Row
from bench.scenarios import open_load
from bench.scenarios.open_load import WARMUP_CONNECTIONS, Capacity
from bench.targets import Target

HEADLINE = "Goodput for 1,500 clients that come back at once after a refusal"
CONNECTIONS = 1_500
SECONDS = 10.0
WARMUP_REQUESTS = 40 * WARMUP_CONNECTIONS
EXCUSED = ("E_STALL",)  # most clients wait: the oldest request in flight says nothing about the answers of others


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return one cell; [] if the target has neither search nor embeddings."""
    route = open_load.choose_route(target)
    return [] if route is None else [Cell(block, target, "crowd", route, CONNECTIONS)]


def run(bench: Bench, cell: Cell, session: Session) -> list[Row]:
    """Measure one window. The percentiles cover the accepted requests."""
    capacity = Capacity.look_up(bench, cell)
    if capacity is None:
        return [open_load.missing_capacity_row(bench, cell)]
    timed = session.texts.take(int(SECONDS * BODIES_PER_SECOND))
    warmup = session.texts.take(WARMUP_REQUESTS)
    load = session.load(
        bench.options,
        session.calls(cell.route, warmup),
        session.calls(cell.route, timed),
        within_ms=capacity.slo_ms,
        concurrency=CONNECTIONS,
        warmup_concurrency=WARMUP_CONNECTIONS,
        min_seconds=SECONDS,
        max_seconds=SECONDS,
    )
    measurement = window.measure(bench, cell, session, load, timed, allow_shed=True, excused=EXCUSED)
    outcome, row = measurement.observation.outcome, measurement.row
    session.texts.give_back(warmup[outcome.warmed :])
    session.texts.give_back(timed[row.requests or 0 :])
    # Clients whose next request is left unread wait on after the window. What counts is what was answered in it.
    answered = outcome.done_ns <= SECONDS * 1e9
    capacity.fill_goodput(row, outcome.latency_ns[answered], SECONDS)
    capacity.fill_kept(row)
    return [row]
