"""
Overload: three times the closed-loop maximum is offered for ten seconds.

The target may shed load: an answer 429, 503 or 504 is no error here. Each request carries X-Request-Timeout-Ms with
twice the p99 limit, as a client with such an SLO would. A target that ignores the header answers later.
"""

from __future__ import annotations

from bench.driver import arrivals
from bench.measurement.plan import Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import Row
from bench.scenarios import open_load
from bench.scenarios.open_load import Capacity
from bench.targets import Target

HEADLINE = "Throughput and goodput when three times the closed-loop maximum is offered"
PERCENT = 300
# Long enough that the first moments, before a queue forms, and the last ones hardly count.
SECONDS = 10.0
WITHIN_SLOS = 2
EXCUSED = ("E_RATE", "E_STALL")  # an overload may cause both


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return one cell; [] if the target has no open-loop route."""
    return open_load.cells("overload", target, block, (PERCENT,))


def run(bench: Bench, cell: Cell, session: Session) -> list[Row]:
    """
    Measure one window. The percentiles cover the accepted requests.

    `goodput_kept` is the validated answers per second, until the last answer, relative to the closed-loop maximum.
    """
    capacity = Capacity.look_up(bench, cell)
    if capacity is None:
        return [open_load.missing_capacity_row(bench, cell)]
    rate_rps = capacity.max_rps * PERCENT / 100
    count = max(open_load.count_arrivals(rate_rps, bench.options.profile), int(rate_rps * SECONDS))
    schedule_s = arrivals.poisson(rate_rps, count, open_load.arrival_seed(bench, cell))
    within_ms = None if capacity.slo_ms is None else WITHIN_SLOS * capacity.slo_ms
    measurement = open_load.measure_route(
        bench, cell, session, capacity, schedule_s, within_ms=within_ms, allow_shed=True, excused=EXCUSED
    )
    row = measurement.row
    row.goodput_kept = (row.rps or 0.0) / capacity.max_rps
    return [row]
