"""
Overload: one, two and three times the closed-loop maximum is offered, for ten seconds each.

The target may shed load: an answer 429, 503 or 504 is no error here. Each request carries the p99 limit as its
X-Request-Timeout-Ms, as a client with such an SLO would. A target that ignores the header answers later.
"""

from __future__ import annotations

from bench.driver import arrivals
from bench.measurement.plan import Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import Row
from bench.scenarios import open_load
from bench.scenarios.open_load import Capacity
from bench.targets import Target

HEADLINE = "Goodput when one, two and three times the closed-loop maximum is offered"
PERCENTS = (100, 200, 300)
# Long enough that the first moments, before a queue forms, and the last ones hardly count.
SECONDS = 10.0
EXCUSED = ("E_RATE", "E_STALL")  # an overload may cause both


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return a cell per level; [] if the target has no open-loop route."""
    return open_load.cells("overload", target, block, PERCENTS)


def run(bench: Bench, cell: Cell, session: Session) -> list[Row]:
    """Measure one window. The percentiles cover the accepted requests."""
    capacity = Capacity.look_up(bench, cell)
    if capacity is None:
        return [open_load.missing_capacity_row(bench, cell)]
    assert cell.percent is not None  # noqa: S101  (`cells` sets it)
    rate_rps = capacity.max_rps * cell.percent / 100
    count = max(open_load.count_arrivals(rate_rps, bench.options.profile), int(rate_rps * SECONDS))
    schedule_s = arrivals.poisson(rate_rps, count, open_load.arrival_seed(bench, cell))
    measurement = open_load.measure_route(
        bench, cell, session, capacity, schedule_s, within_ms=capacity.slo_ms, allow_shed=True, excused=EXCUSED
    )
    capacity.fill_kept(measurement.row)
    return [measurement.row]
