"""The open loop against real servers: what is due is sent and counted from when it was due, whatever else happens."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench import cores
from bench.arrivals import poisson
from bench.ceiling import NULL
from bench.dialects import load as load_dialect
from bench.driver.load import F64, I64, Call, Load, Outcome
from bench.driver.process import Driver
from bench.offer import CONNECTIONS
from bench.processes import Place, Running
from bench.statistics import percentile
from tests.serving import CLOSES, VECTOR, http, serving

DIALECT = load_dialect("gateway")
HALF_A_SECOND_NS = 500_000_000
ANSWER = http(200, VECTOR)


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    """Yield a driver process on the cores this test may use."""
    with Driver(cores.available()) as process:
        yield process


@pytest.fixture
def null(tmp_path: Path) -> Iterator[Running]:
    """Yield a server that does nothing, in a process of its own."""
    place = Place(cores.split(cores.available()), tmp_path / "data", tmp_path / "logs")
    with Running(NULL, place, "null") as running:
        running.wait_ready()
        yield running


def load_of(port: int, schedule_s: F64, connections: int = 64) -> Load:
    """Embeddings of as many texts as the schedule has arrivals, without a warm-up."""
    calls = [Call("embeddings", DIALECT.embed_body(f"text {i}")) for i in range(len(schedule_s))]
    return Load(
        port=port,
        paths={"embeddings": "/v1/embeddings"},
        dialect="gateway",
        concurrency=connections,
        warmup=[],
        calls=calls,
        schedule_s=schedule_s,
        timeout_s=20.0,
    )


def stalling(at: int, seconds: float) -> Callable[[int], bytes]:
    """Answer at once, but the one at `at` only after so many seconds, in which nothing else is answered either."""

    def answer(number: int) -> bytes:
        if number == at:
            time.sleep(seconds)
        return ANSWER

    return answer


def p99_ns(values: I64) -> int:
    """The 99th percentile as the harness takes it."""
    found = percentile(np.sort(values), 99)
    assert found is not None
    return found


def sent_s(outcome: Outcome) -> F64:
    """When each answered request was sent, in the order of the calls."""
    order = np.argsort(outcome.numbers)
    return ((outcome.done_ns - outcome.service_ns) / 1e9)[order]


def test_every_arrival_is_sent_once_and_never_before_it_is_due(driver: Driver) -> None:
    """The bodies arrive once each; no send is early, and being late is counted for every one."""
    schedule_s = poisson(400.0, 400, seed=1)
    with serving(lambda _: ANSWER) as (port, received):
        outcome = driver.run(load_of(port, schedule_s))

    assert (outcome.requests, outcome.errors, len(outcome.late_ns)) == (400, 0, 400)
    assert len(set(received)) == 400
    assert (sent_s(outcome) >= schedule_s - 1e-6).all()
    assert outcome.late_ns.min() >= 0


@pytest.mark.parametrize("connections", [4, 64])
def test_a_stalled_second_is_in_the_open_loops_p99(driver: Driver, connections: int) -> None:
    """Of 800 requests due in 4 s those of one second waited, on connections of their own or for one of few."""
    with serving(stalling(at=300, seconds=1.0)) as (port, _):
        outcome = driver.run(load_of(port, np.arange(800) / 200, connections))

    assert outcome.errors == 0
    assert p99_ns(outcome.latency_ns) >= HALF_A_SECOND_NS
    assert outcome.stall_ms() >= 900


def test_a_stalled_second_is_not_in_the_closed_loops_p99(driver: Driver) -> None:
    """Only the four requests in flight felt it, of a thousand: service time hides it, the stall itself is seen."""
    with serving(stalling(at=300, seconds=1.0)) as (port, _):
        load = load_of(port, np.arange(1000) / 200, connections=4)
        outcome = driver.run(replace(load, schedule_s=None, min_requests=1000))

    assert p99_ns(outcome.latency_ns) < HALF_A_SECOND_NS
    assert outcome.stall_ms() >= 900


def test_waiting_for_a_connection_is_latency_and_not_the_drivers_lateness(driver: Driver) -> None:
    """Ten due at once on one connection, 50 ms each: the i-th took (i + 1) times as long from when it was due."""

    def slow(_: int) -> bytes:
        time.sleep(0.05)
        return ANSWER

    with serving(slow) as (port, received):
        outcome = driver.run(load_of(port, np.full(10, 0.01), connections=1))

    latency_ms = outcome.latency_ns / 1e6
    assert received == [call.body for call in load_of(port, np.zeros(10)).calls]
    assert (latency_ms >= 50 * np.arange(1, 11)).all()
    assert outcome.service_ns.max() < outcome.latency_ns.max() / 2
    assert outcome.late_ns.max() < outcome.latency_ns.max() / 2


def test_a_stopped_process_is_a_stall_from_when_requests_were_due(driver: Driver, null: Running) -> None:
    """A server stopped for a second in the middle of its window: all are answered, and the second is in the p99."""
    popen, due_s = null.front.popen, {signal.SIGSTOP: 1.0, signal.SIGCONT: 2.0}
    timers = [threading.Timer(after_s, popen.send_signal, [what]) for what, after_s in due_s.items()]

    def opened() -> None:
        for timer in timers:
            timer.start()

    outcome = driver.run(load_of(null.port, np.arange(800) / 200), opened)

    assert (outcome.requests, outcome.errors) == (800, 0)
    assert p99_ns(outcome.latency_ns) >= HALF_A_SECOND_NS
    assert outcome.stall_ms() >= 900


def test_a_server_that_never_answers_ends_the_window_with_errors(driver: Driver, null: Running) -> None:
    """The driver gives up on answers, and on connections that none comes free of: the window still ends."""
    null.front.popen.send_signal(signal.SIGSTOP)
    outcome = driver.run(replace(load_of(null.port, np.arange(40) / 400, connections=2), timeout_s=0.5))
    null.front.popen.send_signal(signal.SIGCONT)

    assert outcome.requests == outcome.errors == 40
    assert len(outcome.latency_ns) == 0
    assert outcome.stall_ms() == 0.0
    assert outcome.wall_s < 10


def test_as_many_connections_as_the_scenarios_open_are_there_and_cost_nothing(driver: Driver, null: Running) -> None:
    """All are opened before the window, most are never used; a burst that uses them all is answered whole."""
    schedule_s = np.concatenate([poisson(200.0, 100, seed=2), np.full(CONNECTIONS, 1.0)])
    schedule_s.sort()
    outcome = driver.run(load_of(null.port, schedule_s, CONNECTIONS))

    assert (outcome.requests, outcome.errors) == (100 + CONNECTIONS, 0)


def test_connections_that_the_server_closes_are_opened_anew(driver: Driver) -> None:
    """Closing after every answer loses no request."""
    with serving(lambda _: http(200, VECTOR, CLOSES)) as (port, _):
        outcome = driver.run(load_of(port, poisson(200.0, 200, seed=3), connections=8))

    assert (outcome.requests, outcome.errors) == (200, 0)


def test_connections_closed_instead_of_an_answer_are_errors(driver: Driver) -> None:
    """Every tenth request is dropped: as many errors, and all others answered."""
    with serving(lambda n: b"" if n % 10 == 0 else ANSWER) as (port, _):
        outcome = driver.run(load_of(port, poisson(200.0, 200, seed=4), connections=8))

    assert outcome.errors == 20
    assert len(outcome.latency_ns) == 180
    assert "closed before the answer was whole" in outcome.first_error


def test_what_is_shed_is_told_from_other_errors(driver: Driver) -> None:
    """429 and 503 are counted as shed too, 500 is not."""
    answers = {1: http(429, b"{}"), 2: http(503, b"{}"), 3: http(500, b"{}")}
    with serving(lambda n: answers.get(n, ANSWER)) as (port, _):
        outcome = driver.run(load_of(port, np.arange(20) / 100, connections=4))

    assert (outcome.errors, outcome.shed, len(outcome.latency_ns)) == (3, 2, 17)
