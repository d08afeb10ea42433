"""
A burst on top of a steady half load: one second's worth of the target's capacity arrives within 0.25 s.

The backlog takes at least two seconds to drain, because the steady load uses half of the capacity.
"""

from __future__ import annotations

import numpy as np

from bench.driver.arrivals import Burst
from bench.driver.load import F64, Outcome
from bench.measurement.plan import Cell, Options, Profile
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import Row
from bench.scenarios import open_load
from bench.scenarios.open_load import Capacity
from bench.statistics import FLOORS, percentile
from bench.targets import Target

HEADLINE = "Seconds until latencies return to their level before a burst"
PERCENT = 50
BURST_S = 0.25  # the driver would be late with hundreds of requests at one instant
AFTER_WINDOWS = 3  # duration after the burst, in units of the profile's `min_seconds`
# Recovered: 18 of 20 consecutive latencies within the p95 before the burst; a steady load has that with p > 0.9.
CONSECUTIVE, WITHIN = 20, 18
EXCUSED = ("E_RATE", "E_STALL")


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return one cell; [] if the target has no open-loop route."""
    return open_load.cells("burst", target, block, (PERCENT,))


def run(bench: Bench, cell: Cell, session: Session) -> list[Row]:
    """Measure one window. The percentiles cover all of it; `recovery_s` is blank if the target did not recover."""
    capacity = Capacity.look_up(bench, cell)
    if capacity is None:
        return [open_load.missing_capacity_row(bench, cell)]
    plan = plan_burst(capacity.max_rps, bench.options.profile)
    schedule_s = plan.schedule_s(bench.seed(cell.block))
    measurement = open_load.measure_route(
        bench, cell, session, capacity, schedule_s, allow_shed=True, excused=EXCUSED
    )
    row = measurement.row
    row.recovery_s = recovery_s(measurement.observation.outcome, schedule_s, plan)
    if row.recovery_s is None and not row.reason:
        row.reason = f"latencies did not recover within {plan.after_s:g} s after the burst"
    return [row]


def plan_burst(max_rps: float, profile: Profile) -> Burst:
    """Return a steady load long enough for a p95, the burst, and steady load for three times `min_seconds`."""
    rate_rps = max_rps * PERCENT / 100
    return Burst(
        rate_rps=rate_rps,
        before_s=max(profile.min_seconds, 1.5 * FLOORS[95] / rate_rps),
        size=max(1, round(max_rps)),
        burst_s=BURST_S,
        after_s=AFTER_WINDOWS * profile.min_seconds,
    )


def recovery_s(outcome: Outcome, schedule_s: F64, plan: Burst) -> float | None:
    """
    Return the seconds from the end of the burst to the first recovered arrival.

    Its latency is within the p95 of the arrivals before the burst, and so are 18 of the 20 latencies from it on. None
    if there is no such arrival, or too few answers before the burst for a p95.
    """
    latency_ns = np.full(len(schedule_s), np.inf)  # unanswered arrivals stay infinite
    latency_ns[outcome.numbers] = outcome.latency_ns
    before = outcome.latency_ns[schedule_s[outcome.numbers] < plan.before_s]
    usual_ns = percentile(np.sort(before), 95)
    after = schedule_s >= plan.before_s + plan.burst_s
    if usual_ns is None or after.sum() < CONSECUTIVE:
        return None
    within = latency_ns[after] <= usual_ns
    steady = np.convolve(within, np.ones(CONSECUTIVE), "valid") >= WITHIN
    recovered = within[: len(steady)] & steady
    if not recovered.any():
        return None
    return float(schedule_s[after][recovered.argmax()]) - plan.before_s - plan.burst_s
