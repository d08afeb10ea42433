"""
The Universal Scalability Law, fitted to a closed sweep, and refused if the fit is poor.

X(N) = λN / (1 + σ(N - 1) + κN(N - 1)): λ is the throughput of one request in flight, σ the share that waits for a
shared resource (contention), κ the cost of agreement between every two requests (coherency).
Gunther 2007, "Guerrilla Capacity Planning".
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeWarning, curve_fit

F64 = NDArray[np.float64]
MIN_POINTS = 4  # three coefficients, and one point to check them
MAX_ERROR = 0.10  # of the measured throughput, at the worst point
SLACK = 1e-6  # below it a coefficient counts as zero


@dataclass(frozen=True)
class Law:
    """The coefficients λ (requests a second), σ and κ, and the largest relative error over the fitted points."""

    rate_rps: float
    contention: float
    coherency: float
    error: float = 0.0

    def rps(self, concurrency: ArrayLike) -> F64:
        """Return the throughput at each concurrency, in requests a second."""
        return _compute_throughput(np.asarray(concurrency, float), self.rate_rps, self.contention, self.coherency)

    @property
    def peak_concurrency(self) -> float | None:
        """The concurrency of the highest throughput, sqrt((1 - σ) / κ), at least 1; None if κ = 0, without a peak."""
        if self.coherency <= SLACK:
            return None
        return max(1.0, float(np.sqrt(max(0.0, 1 - self.contention) / self.coherency)))


@dataclass(frozen=True)
class Fit:
    """The law of a sweep, or None and the reason."""

    law: Law | None
    reason: str = ""


def fit(concurrency: Sequence[float], rps: Sequence[float]) -> Fit:
    """
    Return the least-squares fit of the relative errors; refused for few points, negative coefficients or a poor fit.

    A coefficient within two standard errors of zero counts as zero. A negative one means that throughput grew faster
    than linearly, as with batching. The law has no term for that.
    """
    n, x = np.asarray(concurrency, float), np.asarray(rps, float)
    if len(np.unique(n)) < MIN_POINTS:
        return Fit(None, f"{len(np.unique(n))} concurrencies measured, {MIN_POINTS} needed")
    try:
        values, errors = _solve(n, x, floor=-np.inf)
        below = [values[i] < -2 * errors[i] - SLACK for i in (1, 2)]
        if any(below):
            names = " and ".join(name for name, is_below in zip("σκ", below, strict=True) if is_below)
            return Fit(None, f"{names} came out below zero: throughput grew faster than the law allows")
        if min(values[1:]) < 0:
            values, _ = _solve(n, x, floor=0.0)
    except RuntimeError:
        return Fit(None, "the fit did not settle")
    error = float(np.abs(_compute_throughput(n, *values) / x - 1).max())
    if error > MAX_ERROR:
        return Fit(None, f"the worst point is {error:.0%} off, {MAX_ERROR:.0%} allowed")
    rate, contention, coherency = (float(value) for value in values)
    return Fit(Law(rate, contention, coherency, error))


def _compute_throughput(n: F64, rate_rps: float, contention: float, coherency: float) -> F64:
    return np.asarray(rate_rps * n / (1 + contention * (n - 1) + coherency * n * (n - 1)))


def _solve(n: F64, x: F64, floor: float) -> tuple[F64, F64]:
    """Return the coefficients, with σ and κ at least `floor`, and their standard errors; raises RuntimeError."""
    start = (float((x / n).max()), 0.1, 1e-4)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", OptimizeWarning)  # without a covariance the errors are infinite
        values, covariance = curve_fit(
            _compute_throughput, n, x, start, sigma=x, bounds=([0, floor, floor], np.inf), x_scale=start
        )
    return np.asarray(values), np.sqrt(np.diag(covariance))
