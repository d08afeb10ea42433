"""SIGTERM: finish what was accepted, keep what was promised, exit with 0."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from itertools import islice

import httpx
import pytest

from tests.conftest import SHAPES
from tests.faults.client import client_of
from tests.faults.conftest import Start
from tests.processes import wait_until


@pytest.mark.parametrize("name", SHAPES)
def test_an_idle_gateway_stops_with_0(start: Start, name: str) -> None:
    """Every process of every shape ends with 0 when it is asked to."""
    gateway = start(name)

    codes = gateway.stop()

    assert set(codes.values()) == {0}, codes


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


def test_an_accepted_request_is_answered(start: Start, passages: dict[str, str]) -> None:
    """A request that the model was working on when SIGTERM came gets its whole answer."""
    gateway = start("onnx_py")
    body = {"input": list(islice(passages.values(), 96))}

    def busy() -> bool:
        lines = httpx.get(gateway.metrics_url, trust_env=False).text.splitlines()
        return any(line.startswith("gateway_forward_texts_total") and float(line.split()[-1]) > 8 for line in lines)

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.post, f"{gateway.url}/v1/embeddings", json=body, timeout=60, trust_env=False)
        wait_until(busy, 30, "the first forward passes")
        code = gateway.front.stop()

    assert code == 0
    assert answer.result().status_code == 200
    assert len(answer.result().json()["data"]) == 96


def test_two_processes_never_share_a_folder(start: Start) -> None:
    """A second gateway on the same DATA_DIR ends with an error that says so; the first one keeps serving."""
    first = start("pseudo")
    second = start("pseudo")
    assert second.front.stop() == 0
    second.front.environ["DATA_DIR"] = first.front.environ["DATA_DIR"]

    second.front.launch()

    popen = second.front.popen
    assert popen is not None
    assert popen.wait(30) != 0
    assert "DATA_DIR" in second.front.log()
    assert httpx.get(f"{first.url}/readyz", trust_env=False).status_code == 200
