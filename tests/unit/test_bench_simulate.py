"""The queue is held to what is known of queues, and to the campaign that it is calibrated by."""

from __future__ import annotations

import numpy as np
import pytest

from bench import arrivals, paths
from bench.errors import BenchError
from bench.report.summary import load
from bench.simulate import check
from bench.simulate.calibrate import CLIENTS, calibrate, question_tokens
from bench.simulate.queue import Server, closed_loop, open_loop

ONES = np.ones(200_000, np.int64)
CAMPAIGN = paths.RESULTS / "amd-epyc-avx512vnni-2c" / "2026-11-21T1852-full"


@pytest.mark.parametrize("busy", [0.3, 0.6, 0.8])
def test_one_at_a_time_waits_as_the_formula_says(busy: float) -> None:
    """M/D/1: service S at utilisation rho waits rho S / (2 (1 - rho)) on average (Pollaczek and Khinchine)."""
    server = Server(pass_s=0.01, token_s=0.0, most_tokens=1)

    took_s = open_loop(server, arrivals.poisson(busy / 0.01, len(ONES), 1), ONES)

    assert took_s.min() >= 0.01 - 1e-9
    assert took_s.mean() - 0.01 == pytest.approx(busy * 0.01 / (2 * (1 - busy)), rel=0.05)


def test_batches_hold_what_one_at_a_time_cannot() -> None:
    """Twice the rate that single passes could serve is served in passes of several."""
    server = Server(pass_s=0.009, token_s=0.001, most_tokens=50)

    together = open_loop(server, arrivals.poisson(200, len(ONES), 1), ONES)

    assert float(np.percentile(together, 99)) < 0.05


@pytest.mark.parametrize("clients", [1, 7, 64])
def test_clients_in_turns_keep_littles_law(clients: int) -> None:
    """Who is in flight is the rate times what a request takes, its client's own time included."""
    server = Server(pass_s=0.004, token_s=0.0005, request_s=0.0002, most_tokens=400)
    tokens = np.random.default_rng(1).integers(5, 30, 20_000)

    took_s, rps = closed_loop(server, clients, tokens)

    assert rps * took_s.mean() <= clients
    assert rps * (took_s.mean() + clients * 0.0002) >= 0.98 * clients
    if clients == 1:
        assert took_s.max() == pytest.approx(server.takes_s(int(tokens.max())))


def test_a_pass_takes_what_fits() -> None:
    """Of more than that the oldest: the last of 64 waits for the passes before its own."""
    server = Server(pass_s=0.01, token_s=0.0, most_tokens=16)

    took_s, rps = closed_loop(server, 64, ONES[:6_400])

    assert rps == pytest.approx(1_600, rel=0.02)
    assert float(np.median(took_s)) == pytest.approx(0.04, rel=0.02)


def test_the_queue_is_calibrated_by_two_figures_of_a_campaign() -> None:
    """It takes as long for one request as the target did, and serves 64 clients as fast."""
    campaign, tokens = load(CAMPAIGN), question_tokens()

    server = calibrate(campaign, "onnx_py", "search", tokens)

    alone, crowd = (
        campaign.lines(*its).loc["onnx_py"] for its in (("single", "search", 1), ("closed", "search", CLIENTS))
    )
    assert closed_loop(server, 1, tokens)[0].mean() == pytest.approx(1 / alone.rps, rel=0.01)
    assert closed_loop(server, CLIENTS, tokens)[1] == pytest.approx(crowd.rps, rel=0.03)


def test_a_target_that_was_not_measured_is_named() -> None:
    """And the figure that is missing."""
    with pytest.raises(BenchError, match="no sound row of nobody, search, 1 in flight"):
        calibrate(load(CAMPAIGN), "nobody", "search", question_tokens())


def test_every_other_cell_of_a_campaign_is_predicted() -> None:
    """Those of our targets, none of those that calibrate the queue."""
    found = list(check(load(CAMPAIGN)))

    assert {one.target for one in found} == {"onnx_py", "onnx_py-int8", "python", "split"}
    assert not any(one.cell in ("1 clients", f"{CLIENTS} clients") for one in found)
    assert all(one.p95_ms > 0 and one.measured_ms > 0 for one in found)
