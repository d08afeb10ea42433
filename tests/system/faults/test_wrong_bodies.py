"""Bodies full of wrong items: a process under a memory limit refuses them, and serves others all the while."""

from __future__ import annotations

import resource
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import orjson
import psutil
import pytest

from tests.support.gateways import Process, describe

# Beside what the process has when it is ready. One error of pydantic for each wrong item took several times as much.
SPARE_BYTES = 400_000_000
HEALTH_S = 0.5
WRONG = [1] * 400_000
UNKNOWN = {f"key{number}": 1 for number in range(300_000)}
QUERY = {"query": "which one?"}
CASES: dict[str, tuple[str, Any]] = {
    "ingest: numbers": ("/v1/ingest", {"documents": WRONG}),
    "ingest: documents without a text": ("/v1/ingest", {"documents": [{}] * 400_000}),
    "ingest: a document of unknown fields": ("/v1/ingest", {"documents": [{"text": "x"} | UNKNOWN]}),
    "search: unknown fields": ("/v1/search", QUERY | UNKNOWN),
    "rerank: numbers": ("/v1/rerank", QUERY | {"documents": WRONG}),
    "tei rerank: numbers": ("/rerank", QUERY | {"texts": WRONG}),
    "cohere embed: numbers": ("/v2/embed", {"texts": WRONG}),
    "cohere embed: inputs": ("/v2/embed", {"inputs": WRONG}),
    "cohere embed: content": ("/v2/embed", {"inputs": [{"content": WRONG}]}),
    "cohere embed: images": ("/v2/embed", {"images": WRONG}),
    "cohere embed: types": ("/v2/embed", {"texts": ["x"], "embedding_types": WRONG}),
    "collection: unknown fields": ("/v1/collections/wrong", UNKNOWN),
    "embeddings: empty lists": ("/v1/embeddings", {"input": [[]] * 5_000_000}),
    "unified embeddings: empty objects": ("/api/v1/embeddings", {"input": [{}] * 5_000_000}),
}
OF_EMBED_SERVICE: dict[str, tuple[str, Any]] = {
    "rerank: numbers": ("/rerank", QUERY | {"documents": WRONG}),
    "tokenize: numbers": ("/tokenize", {"texts": WRONG}),
    "chunk: numbers": ("/chunk", {"texts": WRONG, "max_tokens": 8}),
    "embed: empty lists": ("/embed", {"texts": [[]] * 5_000_000}),
}


@contextmanager
def limited(process: Process, spare_bytes: int = SPARE_BYTES) -> Iterator[None]:
    """Let a running process have `spare_bytes` of memory more than it has now, and no more."""
    size = psutil.Process(process.pid).memory_info().vms + spare_bytes
    resource.prlimit(process.pid, resource.RLIMIT_AS, (size, size))
    yield


class HealthWatch:
    """Asks /healthz all the while, and keeps how long each answer took."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._ask)
        self.took_s: list[float] = []
        self.statuses: set[int] = set()

    def __enter__(self) -> HealthWatch:
        self._thread.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._stop.set()
        self._thread.join()

    def _ask(self) -> None:
        with httpx.Client(trust_env=False, timeout=30) as http:
            while not self._stop.is_set():
                started_s = time.perf_counter()
                self.statuses.add(http.get(f"{self._url}/healthz").status_code)
                self.took_s.append(time.perf_counter() - started_s)
                self._stop.wait(0.01)


def post_all(process: Process, cases: dict[str, tuple[str, Any]]) -> dict[str, int]:
    """Send each body twice, under a memory limit and a watch of the health; the statuses by case."""
    bodies = {name: (path, orjson.dumps(body)) for name, (path, body) in cases.items()}
    statuses = {}
    with limited(process), process.client() as http, HealthWatch(process.url) as watch:
        for name, (path, raw) in 2 * list(bodies.items()):
            method = "PUT" if "collections" in path else "POST"
            answer = http.request(method, path, content=raw, headers={"Content-Type": "application/json"})
            assert len(answer.content) < 2_000, f"{name}: {answer.text[:300]}"
            statuses[name] = answer.status_code
    assert watch.statuses == {200}
    assert max(watch.took_s) < HEALTH_S
    return statuses


@pytest.mark.gateway("pseudo")
def test_wrong_bodies_are_refused_at_the_first_fault(tmp_path: Path) -> None:
    """In every dialect: a 4xx, /healthz answers within half a second, and the next honest request is served."""
    gateway = describe("pseudo", tmp_path).start()
    try:
        statuses = post_all(gateway.front, CASES)
        with gateway.client() as http:
            answer = http.post("/v1/embeddings", json={"input": "an honest text"})
    finally:
        gateway.kill()

    assert set(statuses.values()) <= {400, 413, 422}, statuses
    assert answer.status_code == 200, answer.text


@pytest.mark.gateway("split")
def test_an_embed_service_refuses_wrong_bodies(tmp_path: Path) -> None:
    """The service behind a thin gateway does the same."""
    gateway = describe("split", tmp_path).start()
    service = next(iter(gateway.processes.values()))
    try:
        statuses = post_all(service, OF_EMBED_SERVICE)
        with gateway.client() as http:
            answer = http.post("/v1/embeddings", json={"input": "an honest text"})
    finally:
        gateway.kill()

    assert set(statuses.values()) <= {400, 413}, statuses
    assert answer.status_code == 200, answer.text
