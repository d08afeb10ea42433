"""The driver process against real servers: counting, timing, stopping, and what it does with bad answers."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench import cores
from bench.ceiling import NULL
from bench.dialects import load as load_dialect
from bench.driver import drive
from bench.driver.load import Call, Load
from bench.driver.process import Driver
from bench.errors import DriverError, StartError
from bench.processes import Place, Running, free_port
from bench.sampler import Sampler, memory
from bench.targets import Role
from tests.serving import CLOSES, VECTOR, http, serving

DIALECT = load_dialect("gateway")


@pytest.fixture(scope="module")
def driver() -> Iterator[Driver]:
    """Yield a driver process on the cores this test may use."""
    with Driver(cores.available()) as process:
        yield process


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """Return where processes of a test run."""
    return Place(cores.split(cores.available()), tmp_path / "data", tmp_path / "logs")


def load_of(port: int, **changed: object) -> Load:
    """A short load of embeddings, with these values changed."""
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
    """Both clients: warm-up and window send distinct bodies in order, and count what came back."""
    with serving(lambda _: http(200, VECTOR)) as (port, received):
        outcome = driver.run(load_of(port, client=client, warmup=load_of(port).warmup[:8]))

    assert outcome.requests == 200
    assert len(outcome.latency_ns) == 200
    assert (outcome.errors, outcome.empties, outcome.warmed) == (0, 0, 8)
    assert len(received) == 208
    assert len(set(received[8:])) == 200
    assert [number for number, _ in outcome.kept] == list(range(0, 200, 20))


@pytest.mark.parametrize("client", ["raw", "httpx"])
def test_what_is_not_a_validated_answer_is_an_error_and_has_no_latency(driver: Driver, client: str) -> None:
    """A 503, a body of another shape, what is not HTTP and a closed connection count as errors; the loop goes on."""
    faults = {10: http(503, b"{}"), 20: http(200, b'{"data":[]}'), 30: b"nonsense\r\n\r\n", 40: b""}
    with serving(lambda n: faults.get(n, http(200, VECTOR))) as (port, _):
        outcome = driver.run(load_of(port, client=client, warmup=[], min_requests=100))

    assert outcome.requests == 100
    assert (outcome.errors, outcome.shed) == (4, 1)
    assert len(outcome.latency_ns) == 96
    assert "503" in outcome.first_error


@pytest.mark.parametrize("client", ["raw", "httpx"])
def test_a_server_may_close_after_every_answer(driver: Driver, client: str) -> None:
    """An answer that says so ends its connection; the next request opens another, and nothing is lost."""
    with serving(lambda _: http(200, VECTOR, CLOSES)) as (port, _):
        outcome = driver.run(load_of(port, client=client, warmup=[], min_requests=50))

    assert (outcome.requests, outcome.errors) == (50, 0)


def test_a_server_that_is_not_there_is_an_outcome_of_errors(driver: Driver) -> None:
    """Refused connections are counted, request by request; the driver does not fall over them."""
    outcome = driver.run(load_of(free_port(), warmup=[], min_requests=20))

    assert outcome.requests == outcome.errors == 20
    assert "ConnectionRefused" in outcome.first_error


def test_an_empty_search_is_counted(driver: Driver) -> None:
    """An answer of the right shape with no result in it is validated, and empty."""
    calls = [Call("search", DIALECT.search_body(f"q{i}", 5)) for i in range(50)]
    with serving(lambda _: http(200, b'{"results":[],"took_ms":0.1}')) as (port, _):
        outcome = driver.run(load_of(port, calls=calls, warmup=[], min_requests=50))

    assert (outcome.requests, outcome.errors, outcome.empties) == (50, 0, 50)


def test_a_slow_server_ends_the_window_and_stragglers_are_awaited(driver: Driver) -> None:
    """At `max_seconds` nothing new is sent, and what is in flight still counts, with its whole latency."""
    release = time.monotonic() + 0.5

    def slow(_: int) -> bytes:
        time.sleep(max(0.0, release - time.monotonic()))
        return http(200, VECTOR)

    with serving(slow) as (port, _):
        outcome = driver.run(load_of(port, warmup=[], concurrency=2, max_seconds=0.1))

    assert outcome.requests == len(outcome.latency_ns) == 2
    assert outcome.latency_ns.max() >= 300_000_000
    assert outcome.wall_s >= 0.3


def test_the_window_opens_after_the_warmup_with_nothing_in_flight(driver: Driver) -> None:
    """`opened` is called once, when exactly the warm-up's requests were received."""
    seen: list[int] = []
    with serving(lambda _: http(200, VECTOR)) as (port, received):
        driver.run(load_of(port), lambda: seen.append(len(received)))

    assert seen == [8]


def test_nothing_is_collected_while_the_window_is_open() -> None:
    """Python's collector of cycles holds up the loop: it is off from before the window, and on again after it."""
    seen: list[bool] = []
    with serving(lambda _: http(200, VECTOR)) as (port, _):
        asyncio.run(drive.run(load_of(port), lambda: seen.append(gc.isenabled())))

    assert seen == [False]
    assert gc.isenabled()


def test_a_load_that_cannot_run_is_an_error_and_the_driver_lives(driver: Driver) -> None:
    """An unknown client is told, and the next load runs."""
    with serving(lambda _: http(200, VECTOR)) as (port, _):
        with pytest.raises(DriverError, match="nosuch"):
            driver.run(load_of(port, client="nosuch"))

        assert driver.run(load_of(port)).requests == 200


def test_processes_are_pinned_sampled_and_stopped(driver: Driver, place: Place) -> None:
    """A role runs on the server cores only, its memory and CPU are seen, and it is gone afterwards."""
    with Running(NULL, place, "null") as running:
        running.wait_ready()
        watch = Sampler(running)
        watch.start()
        outcome = driver.run(load_of(running.front.port, min_requests=400))
        usage = watch.stop()
        pid = running.front.popen.pid

        assert running.on_server_cores()
        assert os.sched_getaffinity(pid) == set(place.pinning.server)
        assert memory(running)["null"].rss > 10

    assert outcome.errors == 0
    assert usage.steady()["null"] > 10
    assert usage.peak()["null"] >= usage.steady()["null"]
    assert running.front.popen.returncode is not None


def test_a_role_that_ends_is_told_with_the_end_of_its_log(place: Place) -> None:
    """A target whose process dies is a StartError that quotes why, long before the time limit."""
    argv = (sys.executable, "-c", "import sys; sys.exit('no model here')")
    broken = replace(NULL, name="broken", roles=(Role("gateway", "", argv, "/readyz"),))

    with Running(broken, place, "broken") as running, pytest.raises(StartError, match="no model here"):
        running.wait_ready()
