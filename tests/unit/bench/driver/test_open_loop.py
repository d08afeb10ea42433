"""The open loop against real servers: every due request is sent and counted from its due time."""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.dialects import load as load_dialect
from bench.driver.arrivals import poisson
from bench.driver.load import F64, I64, Call, Load, Outcome
from bench.driver.process import Driver
from bench.machine import cores
from bench.measurement.client_ceiling import NULL
from bench.scenarios.open_load import CONNECTIONS
from bench.statistics import percentile
from bench.targets.processes import Place, Server
from tests.support.canned_server import CLOSES, VECTOR, canned_answers, http

DIALECT = load_dialect("gateway")
HALF_A_SECOND_NS = 500_000_000
ANSWER = http(200, VECTOR)


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    """Yield a driver process on the cores that this test may use."""
    with Driver(cores.available()) as process:
        yield process


@pytest.fixture
def null(tmp_path: Path) -> Iterator[Server]:
    """Yield a server that does no work, in a process of its own."""
    place = Place(cores.split(cores.available()), tmp_path / "data", tmp_path / "logs")
    with Server(NULL, place, "null") as server:
        server.wait_ready()
        yield server


def load_of(port: int, schedule_s: F64, connections: int = 64) -> Load:
    """Return embeddings for each arrival of the schedule, without a warm-up."""
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
    """Return an answer function that blocks all answers for `seconds` at request `at`."""

    def answer(number: int) -> bytes:
        if number == at:
            time.sleep(seconds)
        return ANSWER

    return answer


def p99_ns(values: I64) -> int:
    """Return the 99th percentile as the harness computes it."""
    p99 = percentile(np.sort(values), 99)
    assert p99 is not None
    return p99


def sent_s(outcome: Outcome) -> F64:
    """Return the send time of each answered request, in the order of the calls."""
    order = np.argsort(outcome.numbers)
    return ((outcome.done_ns - outcome.service_ns) / 1e9)[order]


def test_every_arrival_is_sent_once_and_never_before_it_is_due(driver: Driver) -> None:
    """Each body is sent once and never early, and the lateness of every request is recorded."""
    schedule_s = poisson(400.0, 400, seed=1)
    with canned_answers(lambda _: ANSWER) as (port, received):
        outcome = driver.run(load_of(port, schedule_s))

    assert (outcome.requests, outcome.errors, len(outcome.late_ns)) == (400, 0, 400)
    assert len(set(received)) == 400
    assert (sent_s(outcome) >= schedule_s - 1e-6).all()
    assert outcome.late_ns.min() >= 0


@pytest.mark.parametrize("connections", [4, 64])
def test_a_stalled_second_is_in_the_open_loops_p99(driver: Driver, connections: int) -> None:
    """A stall of one second in four is in the p99, with a connection per request and with few connections."""
    with canned_answers(stalling(at=300, seconds=1.0)) as (port, _):
        outcome = driver.run(load_of(port, np.arange(800) / 200, connections))

    assert outcome.errors == 0
    assert p99_ns(outcome.latency_ns) >= HALF_A_SECOND_NS
    assert outcome.stall_ms() >= 900


def test_a_stalled_second_is_not_in_the_closed_loops_p99(driver: Driver) -> None:
    """Only four of a thousand requests are in flight, so p99 hides the stall and `stall_ms` shows it."""
    with canned_answers(stalling(at=300, seconds=1.0)) as (port, _):
        load = load_of(port, np.arange(1000) / 200, connections=4)
        outcome = driver.run(replace(load, schedule_s=None, min_requests=1000))

    assert p99_ns(outcome.latency_ns) < HALF_A_SECOND_NS
    assert outcome.stall_ms() >= 900


def test_waiting_for_a_connection_is_latency_and_not_the_drivers_lateness(driver: Driver) -> None:
    """Ten requests due at once on one connection take 50 ms, 100 ms and so on from their due time."""

    def slow(_: int) -> bytes:
        time.sleep(0.05)
        return ANSWER

    with canned_answers(slow) as (port, received):
        outcome = driver.run(load_of(port, np.full(10, 0.01), connections=1))

    latency_ms = outcome.latency_ns / 1e6
    assert received == [call.body for call in load_of(port, np.zeros(10)).calls]
    assert (latency_ms >= 50 * np.arange(1, 11)).all()
    assert outcome.service_ns.max() < outcome.latency_ns.max() / 2
    assert outcome.late_ns.max() < outcome.latency_ns.max() / 2


def test_a_stopped_process_is_a_stall_from_when_requests_were_due(driver: Driver, null: Server) -> None:
    """A server stopped for one second answers all requests, and the second is in the p99."""
    popen, due_s = null.front.popen, {signal.SIGSTOP: 1.0, signal.SIGCONT: 2.0}
    timers = [threading.Timer(after_s, popen.send_signal, [what]) for what, after_s in due_s.items()]

    def opened() -> None:
        for timer in timers:
            timer.start()

    outcome = driver.run(load_of(null.port, np.arange(800) / 200), opened)

    assert (outcome.requests, outcome.errors) == (800, 0)
    assert p99_ns(outcome.latency_ns) >= HALF_A_SECOND_NS
    assert outcome.stall_ms() >= 900


def test_a_server_that_never_answers_ends_the_window_with_errors(driver: Driver, null: Server) -> None:
    """The driver gives up on answers and on waiting for a connection, so the window ends."""
    null.front.popen.send_signal(signal.SIGSTOP)
    outcome = driver.run(replace(load_of(null.port, np.arange(40) / 400, connections=2), timeout_s=0.5))
    null.front.popen.send_signal(signal.SIGCONT)

    assert outcome.requests == outcome.errors == 40
    assert len(outcome.latency_ns) == 0
    assert outcome.stall_ms() == 0.0
    assert outcome.wall_s < 10


def test_as_many_connections_as_the_scenarios_open_are_there_and_cost_nothing(driver: Driver, null: Server) -> None:
    """All connections open before the window, and a burst on all of them is answered completely."""
    schedule_s = np.concatenate([poisson(200.0, 100, seed=2), np.full(CONNECTIONS, 1.0)])
    schedule_s.sort()
    outcome = driver.run(load_of(null.port, schedule_s, CONNECTIONS))

    assert (outcome.requests, outcome.errors) == (100 + CONNECTIONS, 0)


def test_connections_that_the_server_closes_are_opened_anew(driver: Driver) -> None:
    """Closing after every answer loses no request."""
    with canned_answers(lambda _: http(200, VECTOR, CLOSES)) as (port, _):
        outcome = driver.run(load_of(port, poisson(200.0, 200, seed=3), connections=8))

    assert (outcome.requests, outcome.errors) == (200, 0)


def test_connections_closed_instead_of_an_answer_are_errors(driver: Driver) -> None:
    """Every tenth request is dropped and counts as an error; all others are answered."""
    with canned_answers(lambda n: b"" if n % 10 == 0 else ANSWER) as (port, _):
        outcome = driver.run(load_of(port, poisson(200.0, 200, seed=4), connections=8))

    assert outcome.errors == 20
    assert len(outcome.latency_ns) == 180
    assert "closed before the answer was whole" in outcome.first_error


def test_what_is_shed_is_told_from_other_errors(driver: Driver) -> None:
    """429 and 503 count as shed, 500 does not."""
    answers = {1: http(429, b"{}"), 2: http(503, b"{}"), 3: http(500, b"{}")}
    with canned_answers(lambda n: answers.get(n, ANSWER)) as (port, _):
        outcome = driver.run(load_of(port, np.arange(20) / 100, connections=4))

    assert (outcome.errors, outcome.shed, len(outcome.latency_ns)) == (3, 2, 17)
