"""What coordinated omission hides: the same stalled second, seen by an open and by a closed loop."""

from __future__ import annotations

import pytest

from bench.session import Bench
from bench.statistics import HEADLINE_FLOOR
from tests.harness.proxy import behind
from tests.harness.windows import closed_window, codes_of, open_window, started, target_of

CONNECTIONS = 4
STALLED = behind(target_of("pseudo"), f"stall={2 * CONNECTIONS + 150}")


@pytest.mark.proves("E_STALL")
def test_an_open_loop_reports_a_stalled_second(bench: Bench) -> None:
    """
    Of 800 requests due in 4 s those of one second wait: p99 from when they were due is most of a second.

    From when they were sent the same answers look fast: waiting for a connection is no part of service time.
    """
    with started(bench, STALLED) as live:
        seen = open_window(bench, live, rps=200, seconds=4, connections=CONNECTIONS)

    assert seen.row.p99_ms is not None
    assert seen.row.service_p99_ms is not None
    assert seen.row.service_p99_ms < 500 <= seen.row.p99_ms
    assert "E_STALL" in codes_of(seen)


@pytest.mark.proves("E_STALL")
def test_a_closed_loops_service_time_hides_it_and_its_window_is_refused(bench: Bench) -> None:
    """Only the four requests in flight felt it, less than one in a hundred: its p99 knows nothing, E_STALL does."""
    with started(bench, STALLED) as live:
        seen = closed_window(bench, live, requests=1000, concurrency=CONNECTIONS)

    assert (seen.row.validated or 0) > HEADLINE_FLOOR
    assert seen.row.p99_ms is not None
    assert seen.row.p99_ms < 500
    assert "E_STALL" in codes_of(seen)
