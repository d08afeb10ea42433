"""A vector store with a damaged collection, served by real processes: what is told, and how it is mended."""

from __future__ import annotations

import random
from pathlib import Path

import httpx
import pytest

from tests.support.gateways import Gateway, wait_until
from tests.support.ingest_client import client_of
from tests.system.faults.conftest import Start
from tests.system.faults.test_data_dir import folder_of, run
from tests.system.faults.test_kill import LIMIT_S, ROUNDS, killed_and_restarted, numbered

BOOKS = 10


def ingest(http: httpx.Client, collection: str, texts: dict[str, str]) -> httpx.Response:
    """Send documents to a collection."""
    documents = [{"id": name, "text": text} for name, text in texts.items()]
    return http.post("/v1/ingest", json={"documents": documents, "collection": collection})


def damage(gateway: Gateway, collection: str) -> Path:
    """Cut the list of points of a collection to a third."""
    [file] = (folder_of(gateway) / "vectors" / collection).rglob("mutable_id_tracker.mappings")
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 3])
    return file


@pytest.mark.gateway("pseudo")
def test_a_damaged_collection_is_told_and_mended(start: Start) -> None:
    """503 with a code for it, also at an ingest; probes and config tell it; others are served; a reindex mends it."""
    gateway = start("pseudo")
    texts = numbered(20)
    with client_of(gateway) as client:
        client.completed([ingest(client.http, "books", numbered(BOOKS, "b")).json()["job_id"]])
        client.completed(client.submit(texts))
    gateway.front.kill()
    damage(gateway, "books")

    gateway.front.start()
    with client_of(gateway) as client:
        http = client.http
        refused = [
            http.post("/v1/search", json={"query": "document", "collection": "books"}),
            ingest(http, "books", {"b-1": "one more"}),
            http.get("/v1/collections/books"),
            http.put("/v1/collections/books", json={"top_k": 3}),
            http.delete("/v1/collections/books"),
            http.get("/v1/documents/b-1?collection=books"),
            http.delete("/v1/documents/b-1?collection=books"),
        ]
        health, ready = http.get("/healthz"), http.get("/readyz")
        config = http.get("/v1/config").json()
        metrics = http.get("/metrics").text
        client.completed(client.submit({"later": "a later document"}))
        assert client.search(texts["d-3"], 1) == ["d-3"]

    for response in refused:
        assert response.status_code == 503, response.text
        assert response.json()["error"]["code"] == "collection_damaged"
        assert "'books' is damaged" in response.json()["error"]["message"]
        assert "gateways.admin reindex" in response.json()["error"]["message"]
    assert (health.status_code, ready.status_code) == (200, 200)
    assert health.json()["damaged_collections"] == ready.json()["damaged_collections"] == 1
    assert "3 of 10 documents" in config["damaged_collections"]["books"]
    assert "gateway_damaged_collections 1.0" in metrics
    gateway.front.kill()

    mended = run("reindex", gateway, "--gateway", "pseudo")

    assert mended.returncode == 0, mended.stderr
    gateway.front.start()
    with client_of(gateway) as client:
        assert "damaged_collections" not in client.http.get("/healthz").json()
        assert client.http.get("/v1/collections/books").json()["document_count"] == BOOKS


@pytest.mark.gateway("pseudo")
def test_a_job_of_a_damaged_collection_waits(start: Start) -> None:
    """What was accepted before the damage was seen is neither lost nor put into an empty collection."""
    gateway = start("pseudo")
    texts = numbered(BOOKS, "b")
    with client_of(gateway) as client:
        client.completed([ingest(client.http, "books", texts).json()["job_id"]])
        more = numbered(3_000, "c")
        job = ingest(client.http, "books", more).json()["job_id"]
    gateway.front.kill()
    damage(gateway, "books")
    gateway.front.start()
    wait_until(lambda: "'books' is damaged" in gateway.front.log(), 30, "a job that waits")
    with client_of(gateway) as client:
        assert client.job(job)["finished_at"] is None
    gateway.front.kill()

    assert (mended := run("reindex", gateway, "--gateway", "pseudo")).returncode == 0, mended.stderr

    gateway.front.start()
    with client_of(gateway) as client:
        client.completed([job])
        assert client.http.get("/v1/collections/books").json()["document_count"] == len(texts | more)


@pytest.mark.gateway("pseudo")
@pytest.mark.timeout(LIMIT_S)
def test_a_kill_while_documents_are_replaced_is_no_damage(start: Start) -> None:
    """Killed at random moments of flush after flush: the count in the file is never above that of the store."""
    gateway = start("pseudo", FLUSH_EVERY_S="0.01")
    moments = random.Random(7)  # noqa: S311 repeatable, no secret
    texts = numbered(100)
    with client_of(gateway) as client:
        client.completed(client.submit(texts))

    for number in range(ROUNDS):
        with client_of(gateway) as client:
            texts = {name: f"{text} in round {number}" for name, text in numbered(100).items()}
            jobs = [ingest(client.http, "default", dict([document])).json()["job_id"] for document in texts.items()]
            client.http.delete(f"/v1/documents/d-{number}")
        killed_and_restarted(gateway, moments.uniform(0, 0.3))
        with client_of(gateway) as client:
            assert "damaged_collections" not in client.http.get("/healthz").json()
            client.completed(jobs)
