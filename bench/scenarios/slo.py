"""
The capacity within the limit: the highest rate with the p99 within the SLO, and at most 0.1 % of requests failed.

The rate is found by bisection from 10 % of the closed-loop maximum up. Each window is a row. A window ends when the
share of late answers is surely below or above 1 %, else after the profile's `slo_max_seconds`. Later blocks begin at
the bracket of the first one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from bench.driver.load import Call
from bench.measurement import observation
from bench.measurement.plan import Cell, Options
from bench.measurement.session import Bench, Session
from bench.measurement.window import Measurement
from bench.records import runs_csv
from bench.records.refusal_codes import DISTURBED, MAX_ERROR_SHARE, refused
from bench.records.runs_csv import Key, Row
from bench.scenarios import open_load, workloads
from bench.scenarios.open_load import Capacity, Traffic
from bench.scenarios.rate_search import UNKNOWN, RateSearch, Window, bracket
from bench.statistics import tail
from bench.targets import Target

HEADLINE = "Requests per second held within the p99 limit"
NAME = "slo"
FLOOR, CEILING = 0.10, 1.10  # shares of the closed-loop maximum
EXCUSED = ("E_ERR", "E_RATE", "E_STALL", "E_N")  # results here: they make a window fail, and do not void it
Rows = Iterable[Mapping[str, str]]


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return a cell for search and for embeddings; the scenario `mix` adds those of mixes."""
    routes = workloads.plain_routes(target)[: options.profile.slo_routes]
    return [Cell(block, target, NAME, route) for route in routes]


def run(bench: Bench, cell: Cell, session: Session) -> list[Row]:
    """Search for the rate. Every window is recorded at once, so [] is left to return."""
    capacity = Capacity.look_up(bench, cell)
    if capacity is None:
        return [open_load.missing_capacity_row(bench, cell)]
    while (rate_rps := _plan(bench, cell, capacity.max_rps).next_rate(_windows(bench, cell))) is not None:
        bench.show.step(f"{cell} at {rate_rps:,.0f} a second")
        bench.runs.add([_measure_until_sound(bench, cell, session, capacity, rate_rps)])
    bench.show.result(cell, describe(_windows(bench, cell), capacity.slo_ms))
    return []


def describe(windows: Sequence[Window], slo_ms: float | None) -> str:
    """Return the rate held within the limit, and the lowest one that was not."""
    low, high = bracket(windows)
    limit = "" if slo_ms is None else f" with p99 ≤ {slo_ms:g} ms"
    held = "no rate held" if low is None else f"{low:8.1f} rps held"
    return f"{held}{limit}{f', {high:.1f} rps not' if high else ''}  windows: {len(windows)}"


def finished(rows: Rows, cell: Cell, options: Options) -> bool:
    """Return whether the rows of a campaign end the search of a cell."""
    listed = list(rows)
    max_rps = runs_csv.capacity(listed, cell.target.name, cell.route)
    windows = select(listed, cell)
    if max_rps is None or not windows:
        return False
    return search_of(listed, cell, max_rps, options).next_rate(windows) is None


def find_finished(rows: Rows, cells: Iterable[Cell], options: Options) -> set[Key]:
    """Return the keys of the cells whose search has ended."""
    listed = list(rows)
    return {cell.key for cell in cells if finished(listed, cell, options)}


def select(rows: Rows, cell: Cell) -> list[Window]:
    """Return the windows of a cell that count."""
    return [_read_window(row) for row in rows if _is_window(row, cell) and row["block"] == str(cell.block)]


def _read_window(row: Mapping[str, str]) -> Window:
    return Window(float(row["offered_rps"]), row["held"] == "true")


def _is_window(row: Mapping[str, str], cell: Cell) -> bool:
    """Return whether a row is a window of the cell's target and route; not one that was measured again."""
    same = (row["target"], row["scenario"], row["route"]) == (cell.target.name, NAME, cell.route)
    return same and bool(row["held"])


def _windows(bench: Bench, cell: Cell) -> list[Window]:
    return select(runs_csv.read(bench.runs.file), cell)


def _plan(bench: Bench, cell: Cell, max_rps: float) -> RateSearch:
    return search_of(runs_csv.read(bench.runs.file), cell, max_rps, bench.options)


def search_of(rows: Rows, cell: Cell, max_rps: float, options: Options) -> RateSearch:
    """Return the search of a cell, which begins at the bracket of the blocks before its own."""
    before = [_read_window(row) for row in rows if _is_window(row, cell) and int(row["block"]) < cell.block]
    earlier = bracket(before) if before else UNKNOWN
    return RateSearch(FLOOR * max_rps, CEILING * max_rps, options.profile.slo_resolution, earlier)


def _measure_until_sound(bench: Bench, cell: Cell, session: Session, capacity: Capacity, rate_rps: float) -> Row:
    """
    Return the row of a window; one that failed while the machine was disturbed is measured again.

    A limit that is held in spite of a disturbance is held. A window that fails in every try counts as failed.
    """
    for attempt in range(1, bench.options.profile.tries + 1):
        row = _measure(bench, cell, session, capacity, rate_rps, attempt).row
        disturbed = set(row.codes.split()) & {*DISTURBED, "E_CLIENT"}
        if row.held or not disturbed or attempt == bench.options.profile.tries:
            break
        row.held = None
        bench.runs.add([row])
    return row


def _measure(
    bench: Bench, cell: Cell, session: Session, capacity: Capacity, rate_rps: float, attempt: int
) -> Measurement:
    profile = bench.options.profile
    percent = round(100 * rate_rps / capacity.max_rps)
    seed = (bench.seed(cell.block), percent, attempt)
    count = max(1, math.ceil(rate_rps * profile.slo_max_seconds))
    requests = workloads.draw(bench, session, cell.route, count, seed)
    traffic = Traffic(
        workloads.schedule_s(bench, cell.route, rate_rps, count, seed),
        requests.calls,
        requests.texts,
        _draw_warmup(bench, cell, session, open_load.count_warmup(capacity, profile), (*seed, 2)),
    )
    measurement = open_load.measure_traffic(
        bench,
        cell,
        session,
        capacity,
        traffic,
        limit_ms=capacity.slo_ms,
        min_seconds=profile.slo_seconds,
        excused=EXCUSED,
    )
    row = measurement.row
    # The planned rate: that of the few arrivals of a window that ended early strays, and the search would not end.
    row.offered_rps, row.load_percent, row.replicate = rate_rps, percent, attempt
    if cell.route in workloads.PLAIN:
        session.texts.give_back(list(map(str, requests.texts[row.requests or 0 :])))
    fill_tail(row, measurement, requests.judged)
    return measurement


def _draw_warmup(bench: Bench, cell: Cell, session: Session, count: int, seed: workloads.Seed) -> Sequence[Call]:
    """Return the calls before a window of a mix; () for a plain route, whose warm-up is drawn from new texts."""
    return () if cell.route in workloads.PLAIN else workloads.draw(bench, session, cell.route, count, seed).calls


def fill_tail(row: Row, measurement: Measurement, judged: NDArray[np.bool_] | None) -> None:
    """Fill the columns of the tail, and whether the limit was held. `judged` says which arrivals have the limit."""
    outcome = measurement.observation.outcome
    order = np.argsort(outcome.numbers)
    latency_ns = outcome.latency_ns[order]
    if judged is not None:
        counted = judged[outcome.numbers[order]]
        latency_ns = latency_ns[counted]
        observation.fill_latencies(row, latency_ns, outcome.service_ns[order][counted])
    bound_ns, ends = tail.bound(np.sort(latency_ns)), tail.interval(latency_ns)
    row.p99_bound_ms = None if bound_ns is None else bound_ns / 1e6
    if ends is not None:
        row.p99_low_ms = ends[0] / 1e6
        row.p99_high_ms = ends[1] / 1e6 if math.isfinite(ends[1]) else None
    failed = refused([code for code in row.codes.split() if code not in (*DISTURBED, "E_CLIENT", "E_PIN")])
    errors = outcome.errors > MAX_ERROR_SHARE * outcome.requests
    late = row.slo_ms is not None and bool((latency_ns > row.slo_ms * 1e6).mean() > tail.SHARE)
    row.held = bool(len(latency_ns)) and not (failed or errors or late)
