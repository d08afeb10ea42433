"""The simulated queue agrees with queueing theory, and with the campaign that calibrates it."""

from __future__ import annotations

import numpy as np
import pytest

from bench import paths
from bench.analysis.summary import load
from bench.driver import arrivals
from bench.errors import BenchError
from bench.simulate import check
from bench.simulate.queue import Server, closed_loop, open_loop
from bench.simulate.service_times import CLIENTS, calibrate, question_tokens

ONES = np.ones(200_000, np.int64)
CAMPAIGN = paths.CAMPAIGNS / "amd-epyc-avx512vnni-2c" / "2026-11-21T1852-full"


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8])
def test_one_at_a_time_waits_as_the_formula_says(busy: float) -> None:
    """
    M/D/1: with service time S and utilisation rho, the mean wait is rho S / (2 (1 - rho)) (Pollaczek-Khinchine).
    """
    server = Server(pass_s=0.01, token_s=0.0, most_tokens=1)

    took_s = open_loop(server, arrivals.poisson(busy / 0.01, len(ONES), 1), ONES)

    assert took_s.min() >= 0.01 - 1e-9
    assert took_s.mean() - 0.01 == pytest.approx(busy * 0.01 / (2 * (1 - busy)), rel=0.05)


def test_batches_hold_what_one_at_a_time_cannot() -> None:
    """Batched passes serve twice the rate of single passes."""
    server = Server(pass_s=0.009, token_s=0.001, most_tokens=50)

    together = open_loop(server, arrivals.poisson(200, len(ONES), 1), ONES)

    assert float(np.percentile(together, 99)) < 0.05


@pytest.mark.parametrize("clients", [1, 7, 64])
def test_clients_in_turns_keep_littles_law(clients: int) -> None:
    """Clients in flight are the rate times the response time, with the client's own time."""
    server = Server(pass_s=0.004, token_s=0.0005, request_s=0.0002, most_tokens=400)
    tokens = np.random.default_rng(1).integers(5, 30, 20_000)

    took_s, rps = closed_loop(server, clients, tokens)

    assert rps * took_s.mean() <= clients
    assert rps * (took_s.mean() + clients * 0.0002) >= 0.98 * clients
    if clients == 1:
        assert took_s.max() == pytest.approx(server.takes_s(int(tokens.max())))


def test_a_pass_takes_what_fits() -> None:
    """A pass takes the oldest requests that fit, so the last of 64 waits for the passes before."""
    server = Server(pass_s=0.01, token_s=0.0, most_tokens=16)

    took_s, rps = closed_loop(server, 64, ONES[:6_400])

    assert rps == pytest.approx(1_600, rel=0.02)
    assert float(np.median(took_s)) == pytest.approx(0.04, rel=0.02)


def test_the_queue_is_calibrated_by_two_figures_of_a_campaign() -> None:
    """One request takes as long as on the target, and 64 clients get the target's rate."""
    campaign, tokens = load(CAMPAIGN), question_tokens()

    server = calibrate(campaign, "onnx_py", "search", tokens)

    alone, crowd = (
        campaign.lines(*cell).loc["onnx_py"] for cell in (("single", "search", 1), ("closed", "search", CLIENTS))
    )
    assert closed_loop(server, 1, tokens)[0].mean() == pytest.approx(1 / alone.rps, rel=0.01)
    assert closed_loop(server, CLIENTS, tokens)[1] == pytest.approx(crowd.rps, rel=0.03)


def test_a_target_that_was_not_measured_is_named() -> None:
    """The error names the target and the missing figure."""
    with pytest.raises(BenchError, match="no sound row of nobody, search, 1 in flight"):
        calibrate(load(CAMPAIGN), "nobody", "search", question_tokens())


def test_every_other_cell_of_a_campaign_is_predicted() -> None:
    """All cells of our targets are predicted, except those that calibrate the queue."""
    predictions = list(check(load(CAMPAIGN)))

    assert {prediction.target for prediction in predictions} == {"onnx_py", "onnx_py-int8", "python", "split"}
    assert not any(prediction.cell in ("1 clients", f"{CLIENTS} clients") for prediction in predictions)
    assert all(prediction.p95_ms > 0 and prediction.measured_ms > 0 for prediction in predictions)
