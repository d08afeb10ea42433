"""Shared parts of the open-loop scenarios: rates relative to the closed-loop maximum, loads, and goodput."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench.driver.load import F64, I64, Call
from bench.measurement import window
from bench.measurement.plan import MIN_REQUESTS, Cell, Profile
from bench.measurement.session import Bench, Session
from bench.measurement.window import Measurement, RequestTexts
from bench.records.refusal_codes import CODES
from bench.records.runs_csv import Row
from bench.targets import Target

# Enough that a request below saturation never waits for a connection; below the usual limit of 1,024 open files.
CONNECTIONS = 900
# A warm-up on all 900 connections would overload the target.
WARMUP_CONNECTIONS = 16


@dataclass(frozen=True)
class Capacity:
    """A target's maximum rate in a closed loop, and its p99 limit. Open loops offer shares of the maximum."""

    max_rps: float
    slo_ms: float | None

    @classmethod
    def look_up(cls, bench: Bench, cell: Cell) -> Capacity | None:
        """Return the capacity of the cell's target and route; None without a sound closed-loop cell."""
        max_rps = bench.runs.capacity(cell.target.name, cell.route)
        return None if max_rps is None else cls(max_rps, bench.options.slo_ms.get(cell.route))

    def fill_goodput(self, row: Row, latency_ns: I64, wall_s: float) -> None:
        """Fill the columns of the SLO. Goodput stays blank without a p99 limit."""
        row.slo_ms = self.slo_ms
        if self.slo_ms is not None:
            row.goodput_rps = int((latency_ns <= self.slo_ms * 1e6).sum()) / wall_s

    def fill_kept(self, row: Row) -> None:
        """Fill the share of the closed-loop maximum that is left: of the goodput, of all answers without a limit."""
        kept_rps = row.rps if row.goodput_rps is None else row.goodput_rps
        row.goodput_kept = (kept_rps or 0.0) / self.max_rps


@dataclass(frozen=True)
class Traffic:
    """
    The traffic of an open loop: the schedule in seconds, and the call and the texts of each arrival.

    `warmup` are the calls before it; without them, the warm-up sends new texts to the cell's route.
    """

    schedule_s: F64
    calls: Sequence[Call]
    texts: Sequence[RequestTexts]
    warmup: Sequence[Call] = ()


def choose_route(target: Target) -> str | None:
    """Return `search` if the target has it, else `embeddings`; None if it has neither or nothing is ingested."""
    if not target.ingest:
        return None
    return next((route for route in ("search", "embeddings") if route in target.capabilities), None)


def cells(scenario: str, target: Target, block: int, percents: Sequence[int]) -> list[Cell]:
    """Return a cell of a target's route at each share of its closed-loop maximum; [] without a route."""
    route = choose_route(target)
    return [] if route is None else [Cell(block, target, scenario, route, percent=percent) for percent in percents]


def missing_capacity_row(bench: Bench, cell: Cell) -> Row:
    """Return the refused row of a cell whose offered rate is unknown."""
    row = bench.row(cell)
    row.codes = "E_RATE"
    row.reason = f"no sound closed-loop row of {cell.route}, which the offered rate needs; run `closed` first"
    return row


def refuse(row: Row, code: str, reason: str) -> None:
    """Add a code and its reason to a measured row."""
    row.codes = " ".join(name for name in CODES if name in {*row.codes.split(), code})
    row.reason = f"{row.reason}; {reason}" if row.reason else reason


def count_arrivals(rate_rps: float, profile: Profile) -> int:
    """Return the arrivals of a window: enough for a p99 and for `min_seconds`, and no more than fit `max_seconds`."""
    needed = max(MIN_REQUESTS, rate_rps * profile.min_seconds)
    return max(1, int(min(needed, rate_rps * profile.max_seconds)))


def arrival_seed(bench: Bench, cell: Cell) -> tuple[int, int]:
    """Return the seed of a cell's arrivals, which depends on block and share and is the same for all targets."""
    return bench.seed(cell.block), cell.percent or 0


def measure_route(
    bench: Bench, cell: Cell, session: Session, capacity: Capacity, schedule_s: F64, **options: Any
) -> Measurement:
    """Measure a window of the cell's route on a schedule, over texts that are new to the server."""
    texts = session.texts.take(len(schedule_s))
    traffic = Traffic(schedule_s, session.calls(cell.route, texts), texts)
    return measure_traffic(bench, cell, session, capacity, traffic, **options)


def count_warmup(capacity: Capacity, profile: Profile) -> int:
    """Return the number of requests of a warm-up."""
    return max(4 * WARMUP_CONNECTIONS, int(1.5 * capacity.max_rps * profile.warmup_seconds))


def measure_traffic(
    bench: Bench,
    cell: Cell,
    session: Session,
    capacity: Capacity,
    traffic: Traffic,
    within_ms: float | None = None,
    limit_ms: float | None = None,
    min_seconds: float = 0.0,
    **options: Any,
) -> Measurement:
    """
    Warm up on few connections, then measure the traffic; `options` are those of `window.measure`.

    With `within_ms`, each request carries it as its time limit. `limit_ms` ends the window early, see `Load`. The
    driver gives up on an answer after the profile's `max_seconds`, so that a window with an endless backlog ends.
    """
    warmup = [] if traffic.warmup else session.texts.take(count_warmup(capacity, bench.options.profile))
    load = session.load(
        bench.options,
        traffic.warmup or session.calls(cell.route, warmup),
        traffic.calls,
        limit_ms=limit_ms,
        min_seconds=min_seconds,
        schedule_s=traffic.schedule_s,
        within_ms=within_ms,
        concurrency=CONNECTIONS,
        warmup_concurrency=WARMUP_CONNECTIONS,
        timeout_s=bench.options.profile.max_seconds,
    )
    measurement = window.measure(bench, cell, session, load, traffic.texts, **options)
    outcome = measurement.observation.outcome
    session.texts.give_back(warmup[outcome.warmed :])
    capacity.fill_goodput(measurement.row, outcome.latency_ns, outcome.wall_s)
    return measurement
