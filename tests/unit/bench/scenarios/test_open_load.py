"""The open-loop and endurance scenarios: offered rates, recovery and memory growth."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import targets
from bench.driver.arrivals import Burst
from bench.driver.load import F64, Outcome
from bench.measurement.plan import MIN_REQUESTS, PROFILES, Options
from bench.measurement.window import RequestTexts
from bench.records.runs_csv import Row
from bench.scenarios import burst, load, mixed, open_load, soak
from bench.scenarios.open_load import Capacity
from bench.targets import Target

QUICK = PROFILES["quick"]
BURST = Burst(rate_rps=100.0, before_s=3.0, size=200, burst_s=0.25, after_s=6.0)
NONE = np.array([], np.int64)


def target_of(*capabilities: str, ingest: bool = True) -> Target:
    """Return a target with these capabilities."""
    [known] = targets.choose(["pseudo"], with_peers=False)
    return replace(known, capabilities=capabilities, ingest=ingest)


def row_of(codes: str = "") -> Row:
    """Return a row with these codes."""
    return Row(1, 1, 1, "pseudo", False, False, "pseudo", "server", codes=codes)


def answered(latency_ms: F64, missing: tuple[int, ...] = ()) -> Outcome:
    """Return an outcome with these latencies by arrival, without the missing arrivals."""
    numbers = np.array([i for i in range(len(latency_ms)) if i not in missing], np.int64)
    latency_ns = (latency_ms[numbers] * 1e6).astype(np.int64)
    return Outcome(
        warmed=0,
        requests=len(latency_ms),
        numbers=numbers,
        done_ns=latency_ns,
        service_ns=latency_ns,
        latency_ns=latency_ns,
        late_ns=NONE,
        errors=len(missing),
        shed=0,
        empties=0,
        wall_s=1.0,
        driver_cpu_s=0.0,
        lag_s=0.0,
    )


def recovering(schedule_s: F64, back_s: float, noise: F64) -> F64:
    """Return latencies of about 10 ms, one second longer from the burst until `back_s` after it."""
    slow = (schedule_s >= BURST.before_s) & (schedule_s < BURST.before_s + BURST.burst_s + back_s)
    return 10 + noise + 1000 * slow


@given(rate_rps=st.floats(0.01, 10_000))
def test_a_window_has_enough_arrivals_and_an_end(rate_rps: float) -> None:
    """Arrivals suffice for percentiles and `min_seconds`, unless `max_seconds` holds fewer."""
    count = open_load.count_arrivals(rate_rps, QUICK)

    assert 1 <= count <= max(1, rate_rps * QUICK.max_seconds)
    if rate_rps * QUICK.max_seconds >= MIN_REQUESTS:
        assert count >= MIN_REQUESTS
        assert count + 1 > rate_rps * QUICK.min_seconds


def test_goodput_counts_what_is_within_the_promise() -> None:
    """Three of four answers within 150 ms in 2 s are 1.5 per second; without a limit goodput is blank."""
    row, latency_ns = row_of(), np.array([1, 150, 151, 20]) * 1_000_000

    Capacity(100.0, slo_ms=None).fill_goodput(row, latency_ns, wall_s=2.0)
    unpromised = row.goodput_rps
    Capacity(100.0, slo_ms=150.0).fill_goodput(row, latency_ns, wall_s=2.0)

    assert unpromised is None
    assert (row.slo_ms, row.goodput_rps) == (150.0, 1.5)


def test_what_is_kept_is_the_goodput() -> None:
    """60 answers a second, 45 of them in time, keep 0.45 of a maximum of 100; all of them without a limit."""
    row = row_of()
    row.rps, row.goodput_rps = 60.0, 45.0
    Capacity(100.0, slo_ms=150.0).fill_kept(row)
    in_time = row.goodput_kept
    row.goodput_rps = None
    Capacity(100.0, slo_ms=None).fill_kept(row)

    assert (in_time, row.goodput_kept) == (0.45, 0.6)


def test_a_code_is_added_in_the_order_of_the_table() -> None:
    """The codes follow the table, and the new reason follows the others."""
    row = row_of("E_STALL E_N")

    open_load.refuse(row, "E_RATE", "too slow")
    open_load.refuse(row, "E_RATE", "and again")

    assert (row.codes, row.reason) == ("E_RATE E_STALL E_N", "too slow; and again")


@pytest.mark.parametrize(
    ("able", "route"),
    [
        (target_of("embeddings", "search"), "search"),
        (target_of("embeddings"), "embeddings"),
        (target_of("rerank"), None),
        (target_of("search", ingest=False), None),
    ],
)
def test_the_route_is_search_where_there_is_one(able: Target, route: str | None) -> None:
    """The route is search, else embeddings; none without both or without ingestion."""
    options = Options(QUICK, (1,), (), "raw", "cpu", 1)
    names = ("overload", "crowd", "burst", "soak")
    cells = [cell for name in names for cell in load(name).cells(able, options, 1)]

    assert open_load.choose_route(able) == route
    assert {cell.route for cell in cells} == ({route} if route else set())
    assert len({cell.key for cell in cells}) == len(cells) == (6 if route else 0)


def test_the_mix_is_for_targets_that_search_and_rerank() -> None:
    """A target with search and rerank has one cell, others have none."""
    options = Options(QUICK, (1,), (), "raw", "cpu", 1)

    assert len(mixed.cells(target_of("search", "rerank"), options, 1)) == 1
    assert mixed.cells(target_of("search", "embeddings"), options, 1) == []
    assert mixed.cells(target_of("search", "rerank", ingest=False), options, 1) == []


@pytest.mark.parametrize("back_s", [0.0, 0.5, 2.0])
def test_recovery_ends_where_latencies_are_back(back_s: float) -> None:
    """Recovery is at the first normal arrival after the backlog, or one of the next."""
    schedule_s = BURST.schedule_s(seed=5)
    noise = np.random.default_rng(5).uniform(0, 1, len(schedule_s))
    outcome = answered(recovering(schedule_s, back_s, noise))

    recovery_s = burst.recovery_s(outcome, schedule_s, BURST)

    assert recovery_s is not None
    assert back_s <= recovery_s <= back_s + 0.5


def test_one_fast_answer_among_slow_ones_is_no_recovery() -> None:
    """While every tenth answer is fast, the backlog is not over; recovery needs nearly all."""
    schedule_s = BURST.schedule_s(seed=5)
    latency_ms = recovering(schedule_s, 2.0, np.zeros(len(schedule_s)))
    latency_ms[::10] = 10

    recovery_s = burst.recovery_s(answered(latency_ms), schedule_s, BURST)

    assert recovery_s == pytest.approx(2.0, abs=0.2)


def test_what_does_not_recover_has_no_recovery() -> None:
    """Recovery is blank if latencies stay slow, if nothing is answered, or without a p95 before the burst."""
    schedule_s = BURST.schedule_s(seed=5)
    steady = np.full(len(schedule_s), 10.0)
    after = tuple(np.flatnonzero(schedule_s >= BURST.before_s).tolist())
    short = replace(BURST, before_s=0.5)

    assert burst.recovery_s(answered(recovering(schedule_s, 99.0, 0 * steady)), schedule_s, BURST) is None
    assert burst.recovery_s(answered(steady, missing=after), schedule_s, BURST) is None
    assert burst.recovery_s(answered(0 * short.schedule_s(5)), short.schedule_s(5), short) is None


def test_the_burst_is_a_second_of_capacity_after_enough_for_a_p95() -> None:
    """At 10 per second, the steady load before the burst is longer than `min_seconds`."""
    fast, slow = burst.plan_burst(1000.0, QUICK), burst.plan_burst(10.0, QUICK)

    assert (fast.rate_rps, fast.size, fast.before_s) == (500.0, 1000, QUICK.min_seconds)
    assert slow.rate_rps * slow.before_s >= 130


@given(growth=st.floats(-60, 60), filling=st.floats(0, 500))
def test_the_slope_is_that_of_the_last_two_thirds(growth: float, filling: float) -> None:
    """Growth in the first third is not counted, and the slopes of two roles add up."""
    minutes = np.linspace(0, 2, 241)
    rss = 300 + growth * minutes + np.where(minutes < 0.6, filling * (minutes - 0.6), 0)

    slope_per_min = soak.slope_per_min({"gateway": rss.tolist(), "server": rss.tolist()}, wall_s=120.0)

    assert slope_per_min == pytest.approx(2 * growth, abs=1e-6)


def test_no_slope_of_nothing() -> None:
    """A target without sampled processes and a window of three samples have no slope."""
    assert soak.slope_per_min({}, wall_s=60.0) is None
    assert soak.slope_per_min({"gateway": [1.0, 2.0, 3.0]}, wall_s=60.0) is None


def test_a_mix_is_weighed_in_words() -> None:
    """Requests of 2, 4, 6 and 12 words have a mean of 6 words, twice that of the searches."""
    routes = np.array(["search", "rerank", "ingest", "search"])
    texts: list[RequestTexts] = ["a b", ("a", "b c", "d e f"), " ".join("w" * 12), "a b c d"]

    assert mixed.relative_weight(routes, texts) == pytest.approx(2.0)
