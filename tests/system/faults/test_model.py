"""A model that breaks on an input, or never comes back from one: whom that hurts, and for how long."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.support.gateways import Gateway, describe, wait_until
from tests.system.faults import fragile

HANG_S = 2

pytestmark = pytest.mark.gateway("onnx_py")


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    """Yield an ONNX gateway whose model has the two words; it is at them for so many seconds at most."""
    models = str(fragile.catalogue(tmp_path))
    started = describe("onnx_py", tmp_path / "run", MODELS_FILE=models, MODEL_HANG_S=str(HANG_S), THREADS="1")
    yield started.start()
    started.kill()


def embed(http: httpx.Client, text: str | list[str]) -> httpx.Response:
    """Embed what is given."""
    return http.post("/v1/embeddings", json={"input": text})


def test_one_bad_input_fails_alone(gateway: Gateway) -> None:
    """Of many requests that share their passes, those with the bad input get a 500, and nobody else anything else."""
    texts = [f"{fragile.RAISES} number {n}" if n % 10 == 3 else f"harmless number {n}" for n in range(120)]
    with gateway.client() as http, ThreadPoolExecutor(40) as pool:
        answers = list(pool.map(lambda text: embed(http, text), texts))
        mixed = embed(http, ["fine", f"{fragile.RAISES} again", "fine too"])
        alone = embed(http, "harmless number 7").json()["data"][0]["embedding"]
        health = http.get("/healthz")

    statuses = {text: answer.status_code for text, answer in zip(texts, answers, strict=True)}
    assert statuses == {text: 500 if text.startswith(fragile.RAISES) else 200 for text in texts}
    assert answers[3].json()["error"]["code"] == "model_failed"
    assert answers[7].json()["data"][0]["embedding"] == pytest.approx(alone, abs=1e-5)
    assert mixed.status_code == 500
    assert "input 1, counted from 0" in mixed.json()["error"]["message"]
    assert health.status_code == 200


def test_a_hung_thread_is_told_and_replaced(gateway: Gateway) -> None:
    """Health says 503 while a pass never ends; what it was at fails; the next thread serves, and health is well."""
    with gateway.client() as http, ThreadPoolExecutor(2) as pool:
        before = embed(http, "a text").json()["data"][0]["embedding"]
        ill = threading.Event()

        def watch() -> None:
            wait_until(lambda: http.get("/healthz").status_code == 503, 10 * HANG_S, "told as ill")
            ill.set()

        watched = pool.submit(watch)
        hung = embed(http, f"into the {fragile.HANGS}")
        watched.result()

        assert ill.is_set()
        assert hung.status_code == 500
        assert hung.json()["error"]["code"] == "model_hung"
        assert "did not come back" in hung.json()["error"]["message"]
        wait_until(lambda: http.get("/healthz").status_code == 200, 10 * HANG_S, "told as well")
        after = embed(http, "a text")
        assert after.json()["data"][0]["embedding"] == pytest.approx(before, abs=1e-5)
        assert "gateway_model_thread_losses_total 1.0" in http.get("/metrics").text


def test_when_threads_keep_hanging_health_stays_bad(gateway: Gateway) -> None:
    """Each takes a core with it: after a few, only a restart of the process helps, and health asks for it."""
    with gateway.client() as http:
        for n in range(3):
            assert embed(http, f"{fragile.HANGS} number {n}").status_code == 500

        health = http.get("/healthz")

        assert health.status_code == 503
        assert "restart this process" in health.json()["reason"]
    gateway.front.kill()
    gateway.front.start()
    with gateway.client() as http:
        assert embed(http, "a text").status_code == 200
