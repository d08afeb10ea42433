"""A thin gateway with two embed services: one may die, both may, and none may be another model."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.gateways import Gateway, Process, describe, wait_until
from tests.support.load import load, more
from tests.support.metrics import metric
from tests.support.tcp_proxy import proxy_to

WORKERS = 8
RECOVERY_S = 2.0

pytestmark = pytest.mark.gateway("split")


@pytest.fixture
def fleet(tmp_path: Path) -> Iterator[tuple[Gateway, list[Process]]]:
    """Yield a split gateway that knows two embed services, all of it started."""
    gateway = describe("split", tmp_path / "first")
    services = [gateway.processes["embed"], describe("split", tmp_path / "second").processes["embed"]]
    gateway.front.environ["EMBEDDING_API_URL"] = ", ".join(service.url for service in services)
    try:
        services[1].start()
        gateway.start()
        yield gateway, services
    finally:
        gateway.kill()
        services[1].kill()


def question_load(gateway: Gateway) -> AbstractContextManager[list[int]]:
    """Keep several clients asking, each thing once; yields the status codes they got so far."""

    def ask(http: httpx.Client, number: int) -> int:
        route, field = [("embeddings", "input"), ("search", "query")][number % 2]
        return http.post(f"/v1/{route}", json={field: f"question number {number}"}).status_code

    return load(gateway, WORKERS, ask)


def texts_of(service: Process) -> float:
    """Return how many texts went through a service's model."""
    return metric(f"{service.url}/metrics", "gateway_forward_texts_total")


def test_one_of_two_dies_and_comes_back(fleet: tuple[Gateway, list[Process]]) -> None:
    """No request fails: not when one is killed under load, not while it is away, not when it is back, and works."""
    gateway, services = fleet
    with question_load(gateway) as answers:
        wait_until(more(answers), 60, "answers from both")
        services[0].kill()
        wait_until(more(answers, 200), 60, "answers from the other")
        services[0].start()
        wait_until(lambda: texts_of(services[0]) > 30, 60, "work for the one that came back")

    assert set(answers) == {200}
    assert texts_of(services[1]) > 30


def test_both_die_and_come_back(fleet: tuple[Gateway, list[Process]]) -> None:
    """Nobody waits for his deadline: 503 with a time to come back; and soon after they are ready, 200 again."""
    gateway, services = fleet
    with gateway.client() as http:

        def embeddings_response(n: int) -> httpx.Response:
            return http.post("/v1/embeddings", json={"input": f"number {n}"})

        assert embeddings_response(0).status_code == 200
        for service in services:
            service.kill()

        refused = [embeddings_response(n) for n in range(1, 6)]

        assert {answer.status_code for answer in refused} == {503}
        assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
        for service in services:
            service.launch()
        services[0].wait_ready()
        back_s = time.monotonic()
        wait_until(
            lambda: embeddings_response(7).status_code == 200, 10 * RECOVERY_S, "an answer once one of them was ready"
        )
        assert time.monotonic() - back_s < RECOVERY_S


def test_one_that_only_fails_is_left_alone(fleet: tuple[Gateway, list[Process]]) -> None:
    """A service that answers its probe and nothing else of use: the other's answer is what clients get."""
    gateway, services = fleet
    gateway.front.kill()
    address = urlsplit(services[0].url)
    assert address.hostname
    assert address.port
    with proxy_to(address.hostname, address.port) as proxy:
        gateway.front.environ["EMBEDDING_API_URL"] = f"{proxy.url},{services[1].url}"
        gateway.front.start()
        proxy.spoil = lambda piece: piece.replace(b"EMB2", b"EMB1")
        with question_load(gateway) as answers:
            wait_until(more(answers, 200), 60, "answers")

        assert set(answers) == {200}
        assert "failed 3 times in a row" in gateway.front.log()


def test_another_model_is_not_mixed_in(fleet: tuple[Gateway, list[Process]]) -> None:
    """A service with the same model in another precision gets no calls, and the log says why."""
    gateway, services = fleet
    services[1].kill()
    services[1].environ["PRECISION"] = "int8"
    services[1].start()

    with question_load(gateway) as answers:
        wait_until(more(answers, 100), 60, "answers")

    assert set(answers) == {200}
    before = texts_of(services[1])
    with question_load(gateway) as answers:
        wait_until(more(answers, 50), 60, "more answers")
    assert texts_of(services[1]) == before
    assert "does not serve what" in gateway.front.log()


def test_a_second_one_is_asked_when_the_first_takes_long(fleet: tuple[Gateway, list[Process]]) -> None:
    """With HEDGE_MS a service that takes its calls and never answers costs that long, not the deadline."""
    gateway, services = fleet
    gateway.front.kill()
    address = urlsplit(services[0].url)
    assert address.hostname
    assert address.port
    with proxy_to(address.hostname, address.port) as proxy:
        gateway.front.environ["EMBEDDING_API_URL"] = f"{proxy.url},{services[1].url}"
        gateway.front.environ["HEDGE_MS"] = "100"
        gateway.front.start()
        silent = threading.Event()

        def never(piece: bytes) -> bytes:
            if b"EMB2" in piece:
                silent.wait(60)
            return piece

        proxy.spoil = never
        try:
            with gateway.client(timeout_s=30) as http:
                answers = [http.post("/v1/embeddings", json={"input": f"number {n}"}) for n in range(4)]
        finally:
            silent.set()
        assert {answer.status_code for answer in answers} == {200}
