"""SIGTERM: finish what was accepted, keep what was promised, exit with 0."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from urllib.parse import urlsplit

import httpx
import pytest

from bench.targets.processes import answers as answering
from tests.selection import SHAPES
from tests.support.gateways import Gateway, wait_until
from tests.support.ingest_client import client_of
from tests.support.load import more
from tests.support.metrics import metric
from tests.support.tcp_proxy import balancing
from tests.system.faults.conftest import Start


@pytest.mark.parametrize("name", SHAPES)
def test_an_idle_gateway_stops_with_0(start: Start, name: str) -> None:
    """Every process of every shape ends with 0 when it is asked to."""
    gateway = start(name)

    codes = gateway.stop()

    assert set(codes.values()) == {0}, codes


@pytest.mark.gateway("onnx_py")
def test_stop_during_an_ingest(start: Start, passages: dict[str, str]) -> None:
    """A job that was running goes on after the restart: stopping is not losing."""
    gateway = start("onnx_py")
    texts = dict(islice(passages.items(), 150))
    with client_of(gateway) as client:
        jobs = client.submit(texts)

    assert gateway.front.stop() == 0

    gateway.front.start()
    with client_of(gateway) as client:
        client.completed(jobs)
        client.holds_exactly(texts)


@pytest.mark.gateway("onnx_py")
def test_an_accepted_request_is_answered(start: Start, passages: dict[str, str]) -> None:
    """A request that the model was working on when SIGTERM came gets its whole answer."""
    gateway = start("onnx_py", SHUTDOWN_GRACE_S="60")
    body = {"input": list(islice(passages.values(), 96))}

    def busy() -> bool:
        return metric(gateway.metrics_url, "gateway_forward_texts_total") > 8

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.post, f"{gateway.url}/v1/embeddings", json=body, timeout=60, trust_env=False)
        wait_until(busy, 30, "the first forward passes")
        code = gateway.front.stop()

    assert code == 0
    assert answer.result().status_code == 200
    assert len(answer.result().json()["data"]) == 96


@pytest.mark.gateway("pseudo")
def test_two_processes_never_share_a_folder(start: Start) -> None:
    """A second gateway on the same DATA_DIR ends with an error that says so; the first one keeps balancing."""
    first = start("pseudo")
    second = start("pseudo")
    assert second.front.stop() == 0
    second.front.environ["DATA_DIR"] = first.front.environ["DATA_DIR"]

    second.front.launch()

    popen = second.front.popen
    assert popen is not None
    assert first.front.popen is not None
    assert popen.wait(30) != 0
    assert f"DATA_DIR is served by process {first.front.popen.pid}" in second.front.log()
    assert httpx.get(f"{first.url}/readyz", trust_env=False).status_code == 200


@pytest.mark.gateway("pseudo")
def test_a_rolling_restart_fails_nobody(start: Start) -> None:
    """Two gateways behind a balancer that asks for /readyz: each is restarted under load, and no request fails."""
    gateways = [start("pseudo", DRAIN_S="1"), start("pseudo", DRAIN_S="1")]
    ready: list[tuple[str, int]] = []
    stop = threading.Event()
    answers: list[int] = []
    turns = count()

    def balance() -> None:
        with httpx.Client(timeout=5, trust_env=False) as http:
            while not stop.is_set():
                ready[:] = [_address(replica) for replica in gateways if answering(http, f"{replica.url}/readyz")]
                time.sleep(0.05)

    def ask(url: str) -> None:
        while not stop.is_set():
            body = {"input": f"number {next(turns)}"}
            answers.append(httpx.post(f"{url}/v1/embeddings", json=body, timeout=30, trust_env=False).status_code)

    with ThreadPoolExecutor(5) as pool, balancing(lambda: ready[next(turns) % len(ready)]) as proxy:
        work = [pool.submit(balance)]
        try:
            wait_until(lambda: len(ready) == 2, 30, "both in the balance")
            work += [pool.submit(ask, proxy.url) for _ in range(4)]
            wait_until(lambda: len(answers) > 50, 30, "answers")
            for gateway in gateways:
                assert gateway.front.stop() == 0
                gateway.front.start()
                wait_until(lambda: len(ready) == 2, 30, "both in the balance again")
                wait_until(more(answers), 30, "answers after a restart")
        finally:
            stop.set()
        for future in work:
            future.result()

    assert set(answers) == {200}


def _address(gateway: Gateway) -> tuple[str, int]:
    url = urlsplit(gateway.url)
    return url.hostname or "", url.port or 0
