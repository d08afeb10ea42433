"""The thin gateway when its embed service dies, comes back, changes its models or talks nonsense."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.gateways import ROOT, Gateway, describe, wait_until
from tests.support.metrics import metric
from tests.support.tcp_proxy import Proxy, Spoil, proxy_to
from tests.system.faults.conftest import Start

QUERY = "Which team won the game?"
NAN = struct.pack("<f", float("nan"))
SPOILED: dict[str, tuple[str, Spoil, int]] = {
    # A route, what happens to the service's answers meanwhile, and what the gateway's client is told.
    "an answer that breaks off": ("embeddings", lambda piece: None if b"EMB2" in piece else piece, 503),
    "an older format": ("embeddings", lambda piece: piece.replace(b"EMB2", b"EMB1"), 502),
    "a number that is none": ("embeddings", lambda piece: piece[:-4] + NAN if b"EMB2" in piece else piece, 502),
    "two texts for one": ("embeddings", lambda piece: piece.replace(b"EMB2\1", b"EMB2\2"), 502),
    "no HTTP": ("embeddings", lambda piece: piece.replace(b"HTTP/1.1", b"HTTQ/1.1"), 503),
    "scores under another name": ("rerank", lambda piece: piece.replace(b'"scores"', b'"scared"'), 502),
    "a score for half the documents": (
        "rerank",
        lambda piece: piece.replace(b'"scores":[', b'"scores":[],"a":['),
        502,
    ),
    "an answer in another language": ("rerank", lambda piece: piece.replace(b"{", b"<"), 502),
}


pytestmark = pytest.mark.gateway("split")


def rerank(http: httpx.Client, documents: list[str]) -> httpx.Response:
    """Rerank with whatever is the default."""
    return http.post("/v1/rerank", json={"query": QUERY, "documents": documents, "return_documents": False})


def computed(gateway: Gateway) -> float:
    """Return how many texts went through the model."""
    return metric(gateway.metrics_url, "gateway_forward_texts_total")


def test_kill_during_a_rerank(start: Start, passages: dict[str, str]) -> None:
    """The one who waits gets a 503 at once, not at its deadline; when the service is back, the same scores."""
    gateway = start("split")
    embed_service = gateway.processes["embed"]
    documents = list(islice(passages.values(), 500))
    with gateway.client() as http, ThreadPoolExecutor(1) as pool:
        before = rerank(http, documents[:5]).json()["results"]
        already = computed(gateway)
        answer = pool.submit(rerank, http, documents)
        wait_until(lambda: computed(gateway) > already, 30, "the first forward passes")
        embed_service.kill()

        refused = answer.result(timeout=10)

        assert refused.status_code == 503
        assert refused.json()["error"]["type"] == "server_error"
        assert int(refused.headers["retry-after"]) > 0
        wait_until(lambda: http.get("/readyz").status_code == 503, 10, "not ready without the embed service")
        embed_service.start()
        wait_until(lambda: http.get("/readyz").status_code == 200, 30, "ready again")
        after = rerank(http, documents[:5])
        assert after.status_code == 200
        assert after.json()["results"] == before


def test_a_restart_between_requests_goes_unnoticed(start: Start, passages: dict[str, str]) -> None:
    """Connections that were kept are all dead; whatever is asked next goes out on new ones."""
    # What matters is the connections; a busy machine would refuse some of the calls.
    gateway = start("split", MAX_WAIT_MS="60000", MAX_BULK_WAIT_MS="60000")
    documents = list(islice(passages.values(), 8))
    with gateway.client() as http:
        with ThreadPoolExecutor(8) as pool:
            kept = list(pool.map(lambda _: rerank(http, documents).status_code, range(16)))
        gateway.processes["embed"].kill()
        gateway.processes["embed"].start()

        answers = [rerank(http, documents), http.post("/v1/embeddings", json={"input": documents})]

    assert set(kept) == {200}
    assert [answer.status_code for answer in answers] == [200, 200], answers[0].text


@pytest.fixture
def spoiled(tmp_path: Path) -> Iterator[tuple[Gateway, Proxy]]:
    """Yield a split gateway with a proxy between its halves."""
    gateway = describe("split", tmp_path)
    address = urlsplit(gateway.processes["embed"].url)
    assert address.hostname
    assert address.port
    with proxy_to(address.hostname, address.port) as proxy:
        gateway.front.environ["EMBEDDING_API_URL"] = proxy.url
        try:
            gateway.start()
            yield gateway, proxy
        finally:
            gateway.kill()


def test_nonsense_goes_no_further(spoiled: tuple[Gateway, Proxy]) -> None:
    """No answer is made of what cannot be one; and the next one, which can, is believed again."""
    gateway, proxy = spoiled
    bodies = {"embeddings": {"input": "a text"}, "rerank": {"query": QUERY, "documents": ["one", "two"]}}
    with gateway.client() as http:
        for name, (route, spoil, status) in SPOILED.items():
            proxy.spoil = spoil
            refused = http.post(f"/v1/{route}", json=bodies[route])
            proxy.spoil = None

            assert refused.status_code == status, f"{name}: {refused.text}"
            assert refused.json()["error"]["type"] == "server_error", name
            wait_until(lambda: http.get("/readyz").status_code == 200, 10, f"ready again after {name}")
            assert http.post(f"/v1/{route}", json=bodies[route]).status_code == 200, name


def test_the_list_of_models_follows_the_service(tmp_path: Path) -> None:
    """A model that was loaded for a request, and unloaded again, is shown as such by the gateway."""
    catalogue = tmp_path / "models.yaml"
    entry = f"{{kind: dense, sources: [{{path: '{ROOT}/models/all-MiniLM-L6-v2'}}]}}"
    catalogue.write_text(f"models:\n  first: {entry}\n  second: {entry}\n")
    gateway = describe("split", tmp_path, MODELS_FILE=str(catalogue), MODEL_IDLE_S="1")
    try:
        gateway.start()
        with gateway.client() as http:

            def loaded(model: str) -> bool:
                return bool(http.get(f"/v1/models/{model}").json()["loaded"])

            def used(model: str) -> bool:
                answer = http.post("/v1/embeddings", json={"input": "now it is needed", "model": model})
                return bool(answer.json()["model"] == model)

            assert not loaded("second")
            wait_until(lambda: used("first") and loaded("first"), 60, "the first model shown as loaded")
            wait_until(lambda: used("second") and loaded("second"), 60, "the second model shown as loaded")
            wait_until(lambda: not loaded("second"), 30, "the second model shown as unloaded")
    finally:
        gateway.kill()


def test_more_than_it_takes_on_is_refused_at_once(tmp_path: Path) -> None:
    """Beyond MAX_QUEUE_TOKENS of its own a thin gateway says 429 and when to come back; then it serves again."""
    gateway = describe("split", tmp_path)
    gateway.front.environ["MAX_QUEUE_TOKENS"] = "1000"
    body = {"input": [f"text {n}, which is one of as many as go in one call, and long enough" for n in range(64)]}
    try:
        gateway.start()
        with gateway.client() as http, ThreadPoolExecutor(16) as pool:
            answers = list(pool.map(lambda _: http.post("/v1/embeddings", json=body), range(16)))
            again = http.post("/v1/embeddings", json=body)
    finally:
        gateway.kill()

    refused = [answer for answer in answers if answer.status_code != 200]
    assert 0 < len(refused) < len(answers)
    assert {answer.status_code for answer in refused} == {429}
    assert all(int(answer.headers["retry-after"]) > 0 for answer in refused)
    assert again.status_code == 200
