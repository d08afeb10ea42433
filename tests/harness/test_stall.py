"""Coordinated omission: the same stalled second, measured by an open and by a closed loop."""

from __future__ import annotations

import pytest

from bench.measurement.session import Bench
from bench.statistics import HEADLINE_FLOOR
from tests.harness.windows import closed_window, codes_of, open_window, started, target_of
from tests.support.breaking_proxy import behind

CONNECTIONS = 4
STALLED = behind(target_of("pseudo"), f"stall={2 * CONNECTIONS + 150}")


pytestmark = pytest.mark.slow("a campaign of its own: tests/harness/test_campaign.py keeps one that is not slow")


@pytest.mark.proves("E_STALL")
def test_an_open_loop_reports_a_stalled_second(bench: Bench) -> None:
    """
    A stall of one second of four puts p99 latency above 500 ms.

    Service time, which excludes the wait for a connection, stays below.
    """
    with started(bench, STALLED) as session:
        measurement = open_window(bench, session, rps=200, seconds=4, connections=CONNECTIONS)

    assert measurement.row.p99_ms is not None
    assert measurement.row.service_p99_ms is not None
    assert measurement.row.service_p99_ms < 500 <= measurement.row.p99_ms
    assert "E_STALL" in codes_of(measurement)


@pytest.mark.proves("E_STALL")
def test_a_closed_loops_service_time_hides_it_and_its_window_is_refused(bench: Bench) -> None:
    """Only four of a thousand requests were in flight, so p99 hides the stall; E_STALL reports it."""
    with started(bench, STALLED) as session:
        measurement = closed_window(bench, session, requests=1000, concurrency=CONNECTIONS)

    assert (measurement.row.validated or 0) > HEADLINE_FLOOR
    assert measurement.row.p99_ms is not None
    assert measurement.row.p99_ms < 500
    assert "E_STALL" in codes_of(measurement)
