"""
The open loop: Poisson arrivals at shares of the closed maximum, each due at its own time.

Latency runs from when a request should have been sent, so what waits because others were slow is counted. It is the
only source of numbers that are held to a promise (Schroeder, Wierman, Harchol-Balter 2006: open is not closed).
"""

from __future__ import annotations

from bench import arrivals, offer
from bench.offer import Offer
from bench.plan import Cell, Options
from bench.records import Row
from bench.session import Bench, Live
from bench.targets import Target

HEADLINE = "Latency from the intended send by offered rate, and the answers a second within the p99 promised"
VERIFIED = True


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """
    Search, else embeddings, at every share of the closed maximum that the profile has.

    None for a peer: it is there to compare with, and no shape that could be recommended.
    """
    return [] if target.peer else offer.cells("server", target, block, options.profile.percents)


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """One window at the cell's share; coded E_RATE where no closed cell says a share of what."""
    live, known = offer.verified(cell, live), Offer.of(bench, cell)
    if known is None:
        return [offer.nothing_known(bench, cell)]
    rate_rps = known.capacity_rps * (cell.percent or 0) / 100
    schedule_s = arrivals.poisson(rate_rps, offer.count(rate_rps, bench.options.profile), offer.seed(bench, cell))
    return [offer.searches(bench, cell, live, known, schedule_s).row]
