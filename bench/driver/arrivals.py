"""Arrival schedules of an open loop: seconds from the window's start, fixed by a seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.driver.load import F64, I64

Seed = int | Sequence[int]


def poisson(rate_rps: float, count: int, seed: Seed) -> F64:
    """
    Return `count` arrivals of a Poisson process, ascending, the last one at `count / rate_rps` seconds, (count,).

    The gaps are exponential, scaled to their nominal sum: the span of 1,444 free gaps strays by 2.6 %, and with it
    the offered rate. Two rates with the same seed give the same arrivals on two time scales, so that two targets do
    not differ by chance.
    """
    gaps: F64 = np.random.default_rng(seed).exponential(1.0, count)
    arrivals_s: F64 = np.cumsum(gaps) * (count / rate_rps / gaps.sum())
    return arrivals_s


def poisson_within(rate_rps: float, seconds: float, seed: Seed) -> F64:
    """
    Return all arrivals of a Poisson process in [0, seconds), ascending.

    Their number is Poisson distributed. Given the number, they are uniform (Ross, Stochastic Processes, 2.3).
    """
    rng = np.random.default_rng(seed)
    return np.sort(rng.uniform(0.0, seconds, rng.poisson(rate_rps * seconds)))


def kinds(count: int, shares: Sequence[float], seed: Seed) -> I64:
    """
    Return the kind of each of `count` arrivals, an index into `shares`, (count,). The shares add up to 1.

    Splitting a Poisson process at random gives independent Poisson processes (Ross, 2.3). `seed` must therefore
    differ from the seed of the arrivals.
    """
    return np.random.default_rng(seed).choice(len(shares), size=count, p=shares)


@dataclass(frozen=True)
class Burst:
    """Poisson arrivals at `rate_rps` for `before_s` and for `after_s`; between them `size` arrivals in `burst_s`."""

    rate_rps: float
    before_s: float
    size: int
    burst_s: float
    after_s: float

    def schedule_s(self, seed: int) -> F64:
        """Return the time of each arrival, ascending; the arrivals of the burst are evenly spaced."""
        begins, ends = self.before_s, self.before_s + self.burst_s
        before = poisson_within(self.rate_rps, self.before_s, (seed, 0))
        after = ends + poisson_within(self.rate_rps, self.after_s, (seed, 1))
        return np.concatenate([before, np.linspace(begins, ends, self.size, endpoint=False), after])
