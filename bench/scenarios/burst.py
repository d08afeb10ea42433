"""
A burst on top of a steady half load: as many requests as the target answers in a second, within a quarter of one.

The backlog takes two seconds to work off at the least, since half of the capacity is taken.
"""

from __future__ import annotations

import numpy as np

from bench import offer
from bench.arrivals import Burst
from bench.driver.load import F64, Outcome
from bench.offer import Offer
from bench.plan import Cell, Options, Profile
from bench.records import Row
from bench.session import Bench, Live
from bench.statistics import FLOORS, percentile
from bench.targets import Target

HEADLINE = "Seconds until latencies are back to what they were before a burst"
VERIFIED = True
PERCENT = 50
BURST_S = 0.25  # not all at once: the driver cannot send hundreds at one moment without being late
AFTER_WINDOWS = 3  # the time after the burst, in least windows
# Where a load is as it was, each is within its p95 in 19 cases of 20, and so 18 of 20 are in more than nine of ten.
CONSECUTIVE, WITHIN = 20, 18
EXCUSED = ("E_RATE", "E_STALL")


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """One cell."""
    return offer.cells("burst", target, block, (PERCENT,))


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """One window; the percentiles are those of all of it, `recovery_s` is blank where it did not recover in it."""
    live, known = offer.verified(cell, live), Offer.of(bench, cell)
    if known is None:
        return [offer.nothing_known(bench, cell)]
    plan = burst_of(known.capacity_rps, bench.options.profile)
    schedule_s = plan.schedule_s(bench.seed(cell.block))
    measured = offer.searches(bench, cell, live, known, schedule_s, allow_shed=True, excused=EXCUSED)
    row = measured.row
    row.recovery_s = recovery_s(measured.seen.outcome, schedule_s, plan)
    if row.recovery_s is None and not row.reason:
        row.reason = f"latencies were not back in the {plan.after_s:g} s after the burst"
    return [row]


def burst_of(capacity_rps: float, profile: Profile) -> Burst:
    """Steady for as long as its p95 needs, then the burst, then steady for three times the least window."""
    rate_rps = capacity_rps * PERCENT / 100
    return Burst(
        rate_rps=rate_rps,
        before_s=max(profile.min_seconds, 1.5 * FLOORS[95] / rate_rps),
        size=max(1, round(capacity_rps)),
        burst_s=BURST_S,
        after_s=AFTER_WINDOWS * profile.min_seconds,
    )


def recovery_s(outcome: Outcome, schedule_s: F64, plan: Burst) -> float | None:
    """
    Seconds from the end of the burst to the first arrival from which on latencies are as before it.

    That one is answered within the p95 of those due before the burst, and so are 18 of the 20 that it begins. None
    where there is none such, or where too few were answered before the burst for a p95.
    """
    latency_ns = np.full(len(schedule_s), np.inf)  # of what was not answered
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
