"""The Universal Scalability Law: known coefficients are recovered, and data of another shape are refused."""

from __future__ import annotations

import numpy as np
import pytest

from bench.statistics.usl import Law, fit

LEVELS = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0]


@pytest.mark.parametrize("law", [Law(1000, 0.05, 0.001), Law(65, 0.9, 0.0007), Law(200, 0.02, 0.0)])
def test_known_coefficients_are_found_again(law: Law) -> None:
    """Exact throughputs give λ, σ and κ of any size."""
    estimate = fit(LEVELS, law.rps(LEVELS).tolist()).law

    assert estimate is not None
    assert estimate.rate_rps == pytest.approx(law.rate_rps, rel=1e-3)
    assert estimate.contention == pytest.approx(law.contention, rel=1e-2, abs=1e-4)
    assert estimate.coherency == pytest.approx(law.coherency, rel=1e-2, abs=1e-5)
    assert estimate.error < 0.01


def test_a_noisy_sweep_still_gives_its_law() -> None:
    """With 2 % noise the coefficients are within 20 %, and the largest error is reported."""
    law = Law(180, 0.30, 0.004)
    noise = np.exp(np.random.default_rng(5).normal(0, 0.02, len(LEVELS)))

    estimate = fit(LEVELS, (law.rps(LEVELS) * noise).tolist()).law

    assert estimate is not None
    assert estimate.contention == pytest.approx(law.contention, rel=0.2)
    assert estimate.coherency == pytest.approx(law.coherency, rel=0.2)
    assert 0 < estimate.error < 0.1


def test_the_peak_is_where_the_throughput_is_greatest() -> None:
    """The peak is at sqrt((1 - σ) / κ); without κ there is none, and contention alone peaks at one."""
    law = Law(1000, 0.05, 0.001)
    fine = np.linspace(1, 100, 9901)

    assert law.peak_concurrency == pytest.approx((0.95 / 0.001) ** 0.5)
    assert fine[law.rps(fine).argmax()] == pytest.approx(law.peak_concurrency, abs=0.01)
    assert Law(1000, 0.05, 0.0).peak_concurrency is None
    assert Law(1000, 1.2, 0.01).peak_concurrency == 1


def test_a_sweep_of_three_points_is_refused() -> None:
    """Three points fit any three coefficients; a repeated point adds none."""
    assert fit([1, 2, 4], [100, 180, 300]).law is None
    assert "3 concurrencies measured, 4 needed" in fit([1, 2, 4, 4], [100, 180, 300, 301]).reason


def test_throughput_that_outgrows_the_load_is_refused() -> None:
    """Batching can exceed linear scaling, which would need a negative σ or κ."""
    refused = fit(LEVELS, [100 * level**1.2 for level in LEVELS])

    assert refused.law is None
    assert "below zero" in refused.reason


def test_a_sweep_that_jumps_about_is_refused() -> None:
    """A curve more than 10 % off a point is refused, and the reason has the error."""
    refused = fit([1, 2, 4, 8], [100, 90, 240, 150])

    assert refused.law is None
    assert "% off, 10% allowed" in refused.reason
