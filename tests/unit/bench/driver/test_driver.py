"""The driver process against real servers: counting, timing, stopping, and bad answers."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bench.dialects import load as load_dialect
from bench.driver import child
from bench.driver.load import Call, Load
from bench.driver.process import Driver
from bench.errors import DriverError, StartError
from bench.machine import cores
from bench.measurement.client_ceiling import NULL
from bench.measurement.process_sampler import Sampler, memory
from bench.targets import Role
from bench.targets.ports import free_port
from bench.targets.processes import Place, Server
from tests.support.canned_server import CLOSES, VECTOR, canned_answers, http

DIALECT = load_dialect("gateway")


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    """Yield a driver process on the cores that this test may use."""
    with Driver(cores.available()) as process:
        yield process


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return the place of a test's processes."""
    return Place(cores.split(cores.available()), tmp_path / "data", tmp_path / "logs")


def load_of(port: int, **changed: object) -> Load:
    """Return a short load of embeddings with these fields changed."""
    calls = [Call("embeddings", DIALECT.embed_body(f"text {i}")) for i in range(400)]
    base = Load(
        port=port,
        paths={"embeddings": "/v1/embeddings", "search": "/v1/search"},
        dialect="gateway",
        concurrency=4,
        warmup=calls[:50],
        calls=calls,
        min_seconds=0.0,
        max_seconds=10.0,
        min_requests=200,
        warmup_seconds=0.0,
        keep_every=20,
    )
    return replace(base, **changed)  # type: ignore[arg-type]


@pytest.mark.parametrize("client", ["raw", "httpx"])
def test_every_body_is_sent_once_and_every_answer_counted(driver: Driver, client: str) -> None:
    """With both clients, warm-up and window send distinct bodies in order, and every answer is counted."""
    with canned_answers(lambda _: http(200, VECTOR)) as (port, received):
        outcome = driver.run(load_of(port, client=client, warmup=load_of(port).warmup[:8]))

    assert outcome.requests == 200
    assert len(outcome.latency_ns) == 200
    assert (outcome.errors, outcome.empties, outcome.warmed) == (0, 0, 8)
    assert len(received) == 208
    assert len(set(received[8:])) == 200
    assert [number for number, _ in outcome.kept] == list(range(0, 200, 20))


@pytest.mark.parametrize("client", ["raw", "httpx"])
def test_what_is_not_a_validated_answer_is_an_error_and_has_no_latency(driver: Driver, client: str) -> None:
    """A 503, a wrong shape, bytes that are not HTTP and a closed connection are errors; the loop continues."""
    faults = {10: http(503, b"{}"), 20: http(200, b'{"data":[]}'), 30: b"nonsense\r\n\r\n", 40: b""}
    with canned_answers(lambda n: faults.get(n, http(200, VECTOR))) as (port, _):
        outcome = driver.run(load_of(port, client=client, warmup=[], min_requests=100))

    assert outcome.requests == 100
    assert (outcome.errors, outcome.shed) == (4, 1)
    assert len(outcome.latency_ns) == 96
    assert "503" in outcome.first_error


@pytest.mark.parametrize("client", ["raw", "httpx"])
def test_a_server_may_close_after_every_answer(driver: Driver, client: str) -> None:
    """After `connection: close`, the next request opens a connection, and no request is lost."""
    with canned_answers(lambda _: http(200, VECTOR, CLOSES)) as (port, _):
        outcome = driver.run(load_of(port, client=client, warmup=[], min_requests=50))

    assert (outcome.requests, outcome.errors) == (50, 0)


@pytest.mark.parametrize("client", ["raw", "httpx"])
def test_an_interim_response_is_no_answer(driver: Driver, client: str) -> None:
    """A proxy's 102 and 103 come before the answer, which is the one that counts."""
    interim = b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    with canned_answers(lambda _: interim + http(200, VECTOR)) as (port, received):
        outcome = driver.run(load_of(port, client=client, warmup=[], min_requests=50))

    assert (outcome.requests, outcome.errors, len(received)) == (50, 0, 50)


def test_a_server_that_is_not_there_is_an_outcome_of_errors(driver: Driver) -> None:
    """Every refused connection is an error of its request, and the driver goes on."""
    outcome = driver.run(load_of(free_port(), warmup=[], min_requests=20))

    assert outcome.requests == outcome.errors == 20
    assert "ConnectionRefused" in outcome.first_error


def test_an_empty_search_is_counted(driver: Driver) -> None:
    """An answer of the right shape without results is validated and counted as empty."""
    calls = [Call("search", DIALECT.search_body(f"q{i}", 5)) for i in range(50)]
    with canned_answers(lambda _: http(200, b'{"results":[],"took_ms":0.1}')) as (port, _):
        outcome = driver.run(load_of(port, calls=calls, warmup=[], min_requests=50))

    assert (outcome.requests, outcome.errors, outcome.empties) == (50, 0, 50)


def test_a_slow_server_ends_the_window_and_stragglers_are_awaited(driver: Driver) -> None:
    """After `max_seconds` nothing is sent, and requests in flight count with their whole latency."""

    def slow(number: int) -> bytes:
        time.sleep(0.5 if number == 1 else 0.0)
        return http(200, VECTOR)

    with canned_answers(slow) as (port, _):
        outcome = driver.run(load_of(port, warmup=[], concurrency=2, max_seconds=0.1))

    assert outcome.requests == len(outcome.latency_ns) == 2
    assert outcome.latency_ns.max() >= 300_000_000
    assert outcome.wall_s >= 0.3


def test_an_open_loop_begins_with_nothing_in_flight(driver: Driver) -> None:
    """`opened` is called once, after exactly the requests of the warm-up."""
    seen: list[int] = []
    with canned_answers(lambda _: http(200, VECTOR)) as (port, received):
        driver.run(load_of(port, schedule_s=np.linspace(0.001, 0.1, 400)), lambda: seen.append(len(received)))

    assert seen == [8]


def test_a_closed_loop_goes_into_its_window_without_a_pause(driver: Driver) -> None:
    """While the window opens, the warm-up goes on; the first timed request does not wait for its last answers."""
    order: list[str] = []

    def answer(_: int) -> bytes:
        time.sleep(0.02)
        return http(200, VECTOR)

    def opened() -> None:
        time.sleep(0.1)
        order.append(f"opened after {len(received)}")

    with canned_answers(answer) as (port, received):
        outcome = driver.run(load_of(port, warmup=load_of(port).calls[300:], min_requests=40), opened)

    assert order != ["opened after 8"]
    assert outcome.warmed > 8
    assert outcome.requests == len(outcome.latency_ns) == 40
    assert 1 <= outcome.handed_over <= 4
    assert outcome.completed == 40 + outcome.handed_over


def test_nothing_is_collected_while_the_window_is_open() -> None:
    """Garbage collection, which blocks the event loop, is off within the window and on after it."""
    seen: list[bool] = []
    with canned_answers(lambda _: http(200, VECTOR)) as (port, _):
        asyncio.run(child.run(load_of(port), lambda: seen.append(gc.isenabled())))

    assert seen == [False]
    assert gc.isenabled()


def test_a_load_that_cannot_run_is_an_error_and_the_driver_lives(driver: Driver) -> None:
    """An unknown client raises DriverError, and the next load runs."""
    with canned_answers(lambda _: http(200, VECTOR)) as (port, _):
        with pytest.raises(DriverError, match="nosuch"):
            driver.run(load_of(port, client="nosuch"))

        assert driver.run(load_of(port)).requests == 200


def test_processes_are_pinned_sampled_and_stopped(driver: Driver, place: Place) -> None:
    """A role runs on the server cores only, its memory and CPU are sampled, and it ends with the context."""
    with Server(NULL, place, "null") as server:
        server.wait_ready()
        watch = Sampler(server)
        watch.start()
        outcome = driver.run(load_of(server.front.port, min_requests=400))
        usage = watch.stop()
        pid = server.front.popen.pid

        assert server.on_own_cores()
        assert os.sched_getaffinity(pid) == set(place.pinning.server)
        assert (memory(server)["null"].rss or 0) > 10

    assert outcome.errors == 0
    steady_mib, peak_mib = usage.steady()["null"] or 0, usage.peak()["null"] or 0
    assert peak_mib >= steady_mib > 10
    assert server.front.popen.returncode is not None


def test_a_role_that_ends_is_told_with_the_end_of_its_log(place: Place) -> None:
    """A process that dies raises StartError with its log, long before the timeout."""
    argv = (sys.executable, "-c", "import sys; sys.exit('no model here')")
    broken = replace(NULL, name="broken", roles=(Role("gateway", "", argv, "/readyz"),))

    with Server(broken, place, "broken") as server, pytest.raises(StartError, match="no model here"):
        server.wait_ready()
