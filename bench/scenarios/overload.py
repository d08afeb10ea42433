"""
Three times the closed maximum, for a few seconds: what a target still gives when it is asked for more than it can.

It may shed: an answer 429, 503 or 504 is not an error here. Each request says, by X-Request-Timeout-Ms, that it may
take twice the p99 promised, as clients with such a promise would; a target that does not know the header answers
later.
"""

from __future__ import annotations

from bench import arrivals, offer
from bench.offer import Offer
from bench.plan import Cell, Options
from bench.records import Row
from bench.session import Bench, Live
from bench.targets import Target

HEADLINE = "What is left of the closed maximum, and within the p99 promised, when three times as much is offered"
VERIFIED = True
PERCENT = 300
# Of two seconds the first moments, when nothing waits yet, and the last would be a good part.
SECONDS = 10.0
WITHIN_SLOS = 2
EXCUSED = ("E_RATE", "E_STALL")  # both are what an overload may do


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """One cell."""
    return offer.cells("overload", target, block, (PERCENT,))


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """
    One window; the percentiles are those of the accepted.

    `goodput_kept` is validated answers a second over the closed maximum, until the last one accepted is answered.
    """
    live, known = offer.verified(cell, live), Offer.of(bench, cell)
    if known is None:
        return [offer.nothing_known(bench, cell)]
    rate_rps = known.capacity_rps * PERCENT / 100
    count = max(offer.count(rate_rps, bench.options.profile), int(rate_rps * SECONDS))
    schedule_s = arrivals.poisson(rate_rps, count, offer.seed(bench, cell))
    within_ms = None if known.slo_ms is None else WITHIN_SLOS * known.slo_ms
    measured = offer.searches(
        bench, cell, live, known, schedule_s, within_ms=within_ms, allow_shed=True, excused=EXCUSED
    )
    row = measured.row
    row.goodput_kept = (row.rps or 0.0) / known.capacity_rps
    return [row]
