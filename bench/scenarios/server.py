"""
The open loop: Poisson arrivals at shares of the closed-loop maximum, each due at its scheduled time.

Latency runs from the intended send, so it includes waiting behind slow requests and has no coordinated omission. This
is the only source of SLO numbers (Schroeder, Wierman, Harchol-Balter 2006: open versus closed).
"""

from __future__ import annotations

from bench.driver import arrivals
from bench.measurement.plan import Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import Row
from bench.scenarios import open_load, workloads
from bench.scenarios.open_load import Capacity
from bench.targets import Target

HEADLINE = "Latency from the intended send by offered rate, and answers per second within the p99 limit"


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return a cell of search and of embeddings at each of the profile's shares of the closed-loop maximum."""
    percents = options.profile.percents
    return [
        Cell(block, target, "server", route, percent=percent)
        for route in workloads.plain_routes(target)
        for percent in percents
    ]


def run(bench: Bench, cell: Cell, session: Session) -> list[Row]:
    """Measure one window at the cell's share. The row is coded E_RATE if no closed-loop row gives the maximum."""
    capacity = Capacity.look_up(bench, cell)
    if capacity is None:
        return [open_load.missing_capacity_row(bench, cell)]
    rate_rps = capacity.max_rps * (cell.percent or 0) / 100
    schedule_s = arrivals.poisson(
        rate_rps, open_load.count_arrivals(rate_rps, bench.options.profile), open_load.arrival_seed(bench, cell)
    )
    return [open_load.measure_route(bench, cell, session, capacity, schedule_s).row]
