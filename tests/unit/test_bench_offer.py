"""What the open-loop and endurance scenarios compute: how much they offer, when it is over, how memory grows."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench import offer, targets
from bench.arrivals import Burst
from bench.driver.load import F64, Outcome
from bench.measure import Asked
from bench.offer import Offer
from bench.plan import MIN_REQUESTS, PROFILES, Options
from bench.records import Row
from bench.scenarios import burst, load, mixed, soak
from bench.targets import Target

QUICK = PROFILES["quick"]
BURST = Burst(rate_rps=100.0, before_s=3.0, size=200, burst_s=0.25, after_s=6.0)
NONE = np.array([], np.int64)


def target_of(*capabilities: str, ingest: bool = True) -> Target:
    """A target that can do this much."""
    [known] = targets.choose(["pseudo"], with_peers=False)
    return replace(known, capabilities=capabilities, ingest=ingest)


def row_of(codes: str = "") -> Row:
    """A row with these codes."""
    return Row(1, 1, 1, "pseudo", False, False, "pseudo", "server", codes=codes)


def answered(latency_ms: F64, missing: tuple[int, ...] = ()) -> Outcome:
    """An outcome with these latencies by arrival, without the arrivals that are missing."""
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
    """Latencies of about 10 ms, but a second more from the burst until `back_s` after it."""
    slow = (schedule_s >= BURST.before_s) & (schedule_s < BURST.before_s + BURST.burst_s + back_s)
    return 10 + noise + 1000 * slow


@given(rate_rps=st.floats(0.01, 10_000))
def test_a_window_has_enough_arrivals_and_an_end(rate_rps: float) -> None:
    """As many as percentiles need and the least seconds hold, unless the most seconds hold fewer."""
    count = offer.count(rate_rps, QUICK)

    assert 1 <= count <= max(1, rate_rps * QUICK.max_seconds)
    if rate_rps * QUICK.max_seconds >= MIN_REQUESTS:
        assert count >= MIN_REQUESTS
        assert count + 1 > rate_rps * QUICK.min_seconds


def test_goodput_counts_what_is_within_the_promise() -> None:
    """Three of four answers within 150 ms in two seconds are 1.5 a second; nothing promised is blank."""
    row, latency_ns = row_of(), np.array([1, 150, 151, 20]) * 1_000_000

    Offer(100.0, slo_ms=None).complete(row, latency_ns, wall_s=2.0)
    unpromised = row.goodput_rps
    Offer(100.0, slo_ms=150.0).complete(row, latency_ns, wall_s=2.0)

    assert unpromised is None
    assert (row.slo_ms, row.goodput_rps) == (150.0, 1.5)


def test_a_code_is_added_in_the_order_of_the_table() -> None:
    """And its reason after the others."""
    row = row_of("E_STALL E_N")

    offer.refuse(row, "E_RATE", "too slow")
    offer.refuse(row, "E_RATE", "and again")

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
    """Else embeddings; none for a target that has neither or is never ingested into."""
    options = Options(QUICK, (1,), (), "raw", "cpu", 1)
    cells = [cell for name in ("server", "overload", "burst", "soak") for cell in load(name).cells(able, options, 1)]

    assert offer.route_of(able) == route
    assert {cell.route for cell in cells} == ({route} if route else set())
    assert len({cell.key for cell in cells}) == len(cells) == (len(QUICK.percents) + 3 if route else 0)


def test_the_mix_is_for_targets_that_search_and_rerank() -> None:
    """One cell for those, none for others."""
    options = Options(QUICK, (1,), (), "raw", "cpu", 1)

    assert len(mixed.cells(target_of("search", "rerank"), options, 1)) == 1
    assert mixed.cells(target_of("search", "embeddings"), options, 1) == []
    assert mixed.cells(target_of("search", "rerank", ingest=False), options, 1) == []


@pytest.mark.parametrize("back_s", [0.0, 0.5, 2.0])
def test_recovery_ends_where_latencies_are_back(back_s: float) -> None:
    """At the first arrival after it, or one of the next."""
    schedule_s = BURST.schedule_s(seed=5)
    noise = np.random.default_rng(5).uniform(0, 1, len(schedule_s))
    outcome = answered(recovering(schedule_s, back_s, noise))

    found = burst.recovery_s(outcome, schedule_s, BURST)

    assert found is not None
    assert back_s <= found <= back_s + 0.5


def test_one_fast_answer_among_slow_ones_is_no_recovery() -> None:
    """Every tenth is fast while the backlog lasts: it is over when nearly all are."""
    schedule_s = BURST.schedule_s(seed=5)
    latency_ms = recovering(schedule_s, 2.0, np.zeros(len(schedule_s)))
    latency_ms[::10] = 10

    found = burst.recovery_s(answered(latency_ms), schedule_s, BURST)

    assert found == pytest.approx(2.0, abs=0.2)


def test_what_does_not_recover_has_no_recovery() -> None:
    """Slow to the end, or not answered at all after the burst, is blank; so is a p95 of too few before it."""
    schedule_s = BURST.schedule_s(seed=5)
    steady = np.full(len(schedule_s), 10.0)
    after = tuple(np.flatnonzero(schedule_s >= BURST.before_s).tolist())
    short = replace(BURST, before_s=0.5)

    assert burst.recovery_s(answered(recovering(schedule_s, 99.0, 0 * steady)), schedule_s, BURST) is None
    assert burst.recovery_s(answered(steady, missing=after), schedule_s, BURST) is None
    assert burst.recovery_s(answered(0 * short.schedule_s(5)), short.schedule_s(5), short) is None


def test_the_burst_is_a_second_of_capacity_after_enough_for_a_p95() -> None:
    """At 10 a second the steady load before it lasts longer than the least window."""
    fast, slow = burst.burst_of(1000.0, QUICK), burst.burst_of(10.0, QUICK)

    assert (fast.rate_rps, fast.size, fast.before_s) == (500.0, 1000, QUICK.min_seconds)
    assert slow.rate_rps * slow.before_s >= 130


@given(growth=st.floats(-60, 60), filling=st.floats(0, 500))
def test_the_slope_is_that_of_the_last_two_thirds(growth: float, filling: float) -> None:
    """What a start adds is not growth; two roles add up."""
    minutes = np.linspace(0, 2, 241)
    rss = 300 + growth * minutes + np.where(minutes < 0.6, filling * (minutes - 0.6), 0)

    found = soak.slope_per_min({"gateway": rss.tolist(), "server": rss.tolist()}, wall_s=120.0)

    assert found == pytest.approx(2 * growth, abs=1e-6)


def test_no_slope_of_nothing() -> None:
    """A target whose processes are not ours, and a window of three samples, have none."""
    assert soak.slope_per_min({}, wall_s=60.0) is None
    assert soak.slope_per_min({"gateway": [1.0, 2.0, 3.0]}, wall_s=60.0) is None


def test_a_mix_is_weighed_in_words() -> None:
    """Searches of 2 and 4 words, a rerank of 6 and a document of 12: the mean is 6 words, two searches' worth."""
    routes = np.array(["search", "rerank", "ingest", "search"])
    asked: list[Asked] = ["a b", ("a", "b c", "d e f"), " ".join("w" * 12), "a b c d"]

    assert mixed.weight(routes, asked) == pytest.approx(2.0)
