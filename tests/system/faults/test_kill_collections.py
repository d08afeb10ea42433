"""`kill -9` and what collections, their passages and their jobs were promised."""

from __future__ import annotations

import httpx
import pytest

from tests.support.gateways import wait_until
from tests.support.ingest_client import client_of
from tests.system.faults.conftest import Start
from tests.system.faults.test_kill import killed_and_restarted

CHUNK = {"max_tokens": 24, "overlap": 6}


def long_texts(count: int) -> dict[str, str]:
    """Texts by id of many passages each, no two alike."""
    return {
        f"d-{n}": "\n\n".join(
            f"Part {part} of document {n}, which is about word{(n * 53 + part) * 7919 % 10007}.  It ends here."
            for part in range(20)
        )
        for n in range(count)
    }


@pytest.mark.gateway("pseudo")
def test_kill_during_a_chunked_ingest(start: Start) -> None:
    """Killed in the middle, twice: every document comes back to the letter, cut once, and none is there twice."""
    gateway = start("pseudo")
    texts = long_texts(150)
    body = {"documents": [{"id": name, "text": text} for name, text in texts.items()], "chunk": CHUNK}
    with client_of(gateway) as client:
        job = client.http.post("/v1/ingest", json=body).json()["job_id"]
        wait_until(lambda: client.job(job)["processed_documents"] > 0, 60, "the first documents of the job")
    killed_and_restarted(gateway)
    killed_and_restarted(gateway, 0.05)

    with client_of(gateway) as client:
        client.completed([job])
        assert client.http.get("/healthz").json()["document_count"] == len(texts)
        for name, text in texts.items():
            document = client.http.get(f"/v1/documents/{name}").json()
            assert document["text"] == text
            assert len(document["passages"]) >= 20
            spans = [(passage["start"], passage["end"]) for passage in document["passages"]]
            assert spans == sorted(set(spans))
        results = client.http.post("/v1/search", json={"query": text, "top_k": 1000}).json()["results"]
        assert len({result["id"] for result in results}) == len(results) == 1000


@pytest.mark.gateway("pseudo")
def test_a_cancelled_job_stays_cancelled(start: Start) -> None:
    """After the restart it is cancelled still, and its documents do not appear."""
    gateway = start("pseudo")
    with client_of(gateway) as client:
        documents = [{"id": str(n), "text": f"document {n}"} for n in range(5_000)]
        job = client.http.post("/v1/ingest", json={"documents": documents}).json()["job_id"]
        assert client.http.delete(f"/v1/jobs/{job}").json()["status"] == "cancelled"

    killed_and_restarted(gateway)

    with client_of(gateway) as client:
        client.completed(client.submit({"later": "a later document"}))
        stopped = client.job(job)
        assert stopped["status"] == "cancelled"
        assert client.http.get("/healthz").json()["document_count"] == stopped["processed_documents"] + 1 < 5_000


@pytest.mark.gateway("pseudo")
def test_profiles_and_deletions_survive(start: Start) -> None:
    """What a PUT answered is the profile after a kill, and what a DELETE answered is gone, `default` emptied."""
    gateway = start("pseudo")
    with client_of(gateway) as client:
        for name in ("kept", "dropped", "default"):
            ingested(client.http, name)
        profile = client.http.put("/v1/collections/kept", json={"top_k": 3, "chunk": CHUNK}).json()
        for name in ("dropped", "default"):
            assert client.http.delete(f"/v1/collections/{name}").status_code == 200

    killed_and_restarted(gateway)

    with client_of(gateway) as client:
        assert client.http.get("/v1/collections/kept").json() == profile
        assert client.http.get("/v1/documents/a?collection=kept").json()["text"] == "in kept"
        assert client.http.get("/v1/collections/dropped").status_code == 404
        assert client.http.get("/v1/collections/default").json()["document_count"] == 0
        assert client.http.get("/healthz").json()["document_count"] == 1


def ingested(http: httpx.Client, collection: str) -> None:
    """Ingest one document and wait for it."""
    body = {"documents": [{"id": "a", "text": f"in {collection}"}], "collection": collection}
    job = http.post("/v1/ingest", json=body).json()["job_id"]
    wait_until(lambda: http.get(f"/v1/jobs/{job}").json()["status"] == "completed", 60, f"job {job}")
