"""When the requests of an open loop are due: schedules in seconds from the window's start, fixed by a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.driver.load import F64, I64

Seed = int | Sequence[int]


def poisson(rate_rps: float, count: int, seed: Seed) -> F64:
    """
    So many arrivals of a Poisson process, ascending: (count,).

    The gaps are independent and exponential with mean 1 / rate. Two rates with one seed give the same arrivals on two
    scales of time, so that what differs between two targets is not their luck.
    """
    gaps: F64 = np.random.default_rng(seed).exponential(1 / rate_rps, count)
    return np.cumsum(gaps)


def poisson_within(rate_rps: float, seconds: float, seed: Seed) -> F64:
    """
    The arrivals of a Poisson process in [0, seconds), ascending: as many as it happens to have.

    Their number is Poisson distributed, and given the number they are uniform (Ross, Stochastic Processes, 2.3).
    """
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(0.0, seconds, rng.poisson(rate_rps * seconds)))


def kinds(count: int, shares: Sequence[float], seed: Seed) -> I64:
    """
    Which kind each of `count` arrivals is of, drawn by the shares, which add up to 1: (count,).

    A Poisson process split so is one Poisson process per kind, independent of each other (Ross, 2.3): where the seed
    is not that of the arrivals.
    """
    return np.random.default_rng(seed).choice(len(shares), size=count, p=shares)


@dataclass(frozen=True)
class Burst:
    """A steady Poisson load of `rate_rps` for `before_s` and again for `after_s`; between, `size` in `burst_s`."""

    rate_rps: float
    before_s: float
    size: int
    burst_s: float
    after_s: float

    def schedule_s(self, seed: int) -> F64:
        """When each is due, ascending; those of the burst at even distances."""
        begins, ends = self.before_s, self.before_s + self.burst_s
        before = poisson_within(self.rate_rps, self.before_s, (seed, 0))
        after = ends + poisson_within(self.rate_rps, self.after_s, (seed, 1))
        return np.concatenate([before, np.linspace(begins, ends, self.size, endpoint=False), after])
