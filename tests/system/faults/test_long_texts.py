"""Texts of megabytes: a process under a memory limit reads their beginning, and serves others all the while."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import orjson
import pytest

from tests.support.gateways import Gateway, describe
from tests.system.faults.test_wrong_bodies import HealthWatch, limited

# Beside what a process has when it is ready. Texts that were tokenised whole took 2.5 GB.
SPARE_BYTES = 800_000_000
LONG = "a word of a text that does not end, " * 900_000
TEXTS = 2_000
CASES: dict[str, tuple[str, dict[str, Any], int]] = {
    "one text": ("/v1/embeddings", {"input": LONG}, 200),
    "one text from its end": ("/v1/embeddings", {"input": LONG, "truncate": "START"}, 200),
    "one text that must fit": ("/v1/embeddings", {"input": LONG, "truncate": "NONE"}, 400),
    "one word": ("/v1/embeddings", {"input": "x" * len(LONG)}, 200),
    "many texts that must fit": ("/v1/embeddings", {"input": [LONG[:16_000]] * TEXTS, "truncate": "NONE"}, 400),
    "documents to rerank": ("/v1/rerank", {"query": "a word", "documents": [LONG, LONG[:10]]}, 200),
    "a query to rerank with": ("/v1/rerank", {"query": LONG, "documents": ["a word"]}, 413),
    "a query": ("/v1/search", {"query": LONG}, 413),
    "a document": ("/v1/ingest", {"documents": [{"text": LONG}]}, 413),
    "words to weigh": ("/v1/embed_sparse", {"input": LONG}, 413),
    "a text to tokenise": ("/tokenize", {"inputs": LONG}, 413),
}


@pytest.fixture(params=["onnx_py", "split"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gateway]:
    """Yield a gateway of each shape that tokenises."""
    started = describe(request.param, tmp_path).start()
    yield started
    started.kill()


def test_long_texts_are_read_as_far_as_the_model_reads(gateway: Gateway) -> None:
    """33 MB of text: a vector of its beginning, or a limit by its name; never all of it in tokens."""
    service = next(iter(gateway.processes.values()))
    with gateway.client(timeout_s=120) as http, limited(service, SPARE_BYTES), HealthWatch(service.url) as watch:
        answers = {name: post(http, path, body) for name, (path, body, _) in CASES.items()}
        after = http.post("/v1/embeddings", json={"input": "an honest text"})

    wanted = {name: status for name, (_, _, status) in CASES.items()}
    assert {name: answer.status_code for name, answer in answers.items()} == wanted
    assert "MAX_QUERY_CHARS" in answers["a query"].text
    assert "MAX_DOCUMENT_CHARS" in answers["a document"].text
    assert after.status_code == 200
    assert watch.statuses == {200}
    assert max(watch.took_s) < 1.0


def test_large_bodies_at_once_are_refused_or_served(gateway: Gateway) -> None:
    """Ten of 33 MB: as many as the budget holds are at work, the others are told to come again."""
    service = next(iter(gateway.processes.values()))
    body = {"input": LONG}
    with gateway.client(timeout_s=120) as http, limited(service, SPARE_BYTES), ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: post(http, "/v1/embeddings", body), range(10)))
        after = http.post("/v1/embeddings", json={"input": "an honest text"})

    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} == {200, 429}
    # The thin gateway also refuses texts that would wait too long for the embed service.
    assert any("MAX_BODIES_BYTES" in answer.text for answer in refused)
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert after.status_code == 200


def post(http: httpx.Client, path: str, body: dict[str, Any]) -> httpx.Response:
    """Send a body that was written quickly."""
    return http.post(path, content=orjson.dumps(body), headers={"Content-Type": "application/json"})
