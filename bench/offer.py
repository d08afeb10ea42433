"""What the open-loop scenarios share: rates taken from the closed maximum, their loads, and what goodput is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bench import measure
from bench.driver.load import F64, I64, Call
from bench.errors import BenchError
from bench.measure import Asked, Measured
from bench.plan import MIN_REQUESTS, Cell, Profile
from bench.records import Row
from bench.session import Bench, Live
from bench.targets import Target
from bench.validity import CODES

# Enough that a request below saturation never waits for one, few enough for a server with the usual 1024 files.
CONNECTIONS = 900
# The rest is opened but rests: a warm-up in a closed loop of 900 would be an overload of its own.
WARMUP_CONNECTIONS = 16


@dataclass(frozen=True)
class Offer:
    """The most a target answered in a closed loop, and the p99 it is held to: what an open loop offers it by."""

    capacity_rps: float
    slo_ms: float | None

    @classmethod
    def of(cls, bench: Bench, cell: Cell) -> Offer | None:
        """What is known of the cell's target and route; None without a sound closed cell."""
        capacity = bench.runs.capacity(cell.target.name, cell.route)
        return None if capacity is None else cls(capacity, bench.options.slo_ms.get(cell.route))

    def complete(self, row: Row, latency_ns: I64, wall_s: float) -> None:
        """Fill the columns that hold these answers to the promise; goodput is blank where nothing is promised."""
        row.slo_ms = self.slo_ms
        if self.slo_ms is not None:
            row.goodput_rps = int((latency_ns <= self.slo_ms * 1e6).sum()) / wall_s


@dataclass(frozen=True)
class Traffic:
    """What is due when: the schedule in seconds, the call due at each time, and the texts it asks about."""

    schedule_s: F64
    calls: Sequence[Call]
    asked: Sequence[Asked]


def route_of(target: Target) -> str | None:
    """Search where the target has it, else embeddings; None for one that is never ingested into, or has neither."""
    if not target.ingest:
        return None
    return next((route for route in ("search", "embeddings") if route in target.capabilities), None)


def cells(scenario: str, target: Target, block: int, percents: Sequence[int]) -> list[Cell]:
    """A cell of a target's route at each share of its closed maximum; none where it has no route."""
    route = route_of(target)
    return [] if route is None else [Cell(block, target, scenario, route, percent=percent) for percent in percents]


def verified(cell: Cell, live: Live | None) -> Live:
    """The cell's server; raises BenchError when none was given."""
    if live is None:
        raise BenchError(f"{cell.scenario} runs against a verified server")
    return live


def nothing_known(bench: Bench, cell: Cell) -> Row:
    """The row of a cell that cannot be offered anything."""
    row = bench.row(cell)
    row.codes = "E_RATE"
    row.reason = f"no sound closed cell of {cell.route} to take the offered rates from: run `closed` first"
    return row


def refuse(row: Row, code: str, reason: str) -> None:
    """Add a code and why to a row that is measured."""
    row.codes = " ".join(known for known in CODES if known in {*row.codes.split(), code})
    row.reason = f"{row.reason}; {reason}" if row.reason else reason


def count(rate_rps: float, profile: Profile) -> int:
    """Arrivals of a window: enough for its percentiles and its least seconds, as many as fit its most seconds."""
    wanted = max(MIN_REQUESTS, rate_rps * profile.min_seconds)
    return max(1, int(min(wanted, rate_rps * profile.max_seconds)))


def seed(bench: Bench, cell: Cell) -> tuple[int, int]:
    """The seed of a cell's arrivals: of its block and its share, so the same for all targets."""
    return bench.seed(cell.block), cell.percent or 0


def searches(bench: Bench, cell: Cell, live: Live, known: Offer, schedule_s: F64, **judged: Any) -> Measured:
    """A window of the cell's route at these times, over texts that this server has never seen; see `window`."""
    texts = live.texts.take(len(schedule_s))
    return window(bench, cell, live, known, Traffic(schedule_s, live.calls(cell.route, texts), texts), **judged)


def window(
    bench: Bench,
    cell: Cell,
    live: Live,
    known: Offer,
    traffic: Traffic,
    within_ms: float | None = None,
    **judged: Any,
) -> Measured:
    """
    Warm up on few connections, then measure this traffic; `judged` are the options of `measure.window`.

    With `within_ms` the requests say that they may take so long. The driver gives up on an answer at the profile's
    most seconds, so that a window whose backlog never ends does.
    """
    profile = bench.options.profile
    warm = live.texts.take(max(4 * WARMUP_CONNECTIONS, int(1.5 * known.capacity_rps * profile.warmup_seconds)))
    load = live.load(
        bench.options,
        live.calls(cell.route, warm),
        traffic.calls,
        schedule_s=traffic.schedule_s,
        within_ms=within_ms,
        concurrency=CONNECTIONS,
        warmup_concurrency=WARMUP_CONNECTIONS,
        timeout_s=profile.max_seconds,
    )
    measured = measure.window(bench, cell, live, load, traffic.asked, **judged)
    live.texts.give_back(warm[measured.seen.outcome.warmed :])
    outcome = measured.seen.outcome
    known.complete(measured.row, outcome.latency_ns, outcome.wall_s)
    return measured
