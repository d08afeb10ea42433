"""Small jobs share a flush: what is written and not counted yet is never in the way of what a client was told."""

from __future__ import annotations

from datetime import datetime

import pytest

from tests.support.ingest_client import client_of
from tests.system.faults.conftest import Start
from tests.system.faults.test_data_dir import run
from tests.system.faults.test_kill import killed_and_restarted

# Far more than these tests take: what ends sooner did not wait for it.
NEVER_S = 600.0


@pytest.mark.gateway("pseudo")
def test_jobs_that_come_one_after_the_other_end_together(start: Start) -> None:
    """The first one at once; those after it when the next flush is due, all at one time."""
    gateway = start("pseudo", FLUSH_EVERY_S="1.5")
    with client_of(gateway) as client:
        client.completed(first := client.submit({"first": "the first of all"}))
        jobs = [client.submit({f"d-{n}": f"document {n}"})[0] for n in range(5)]
        client.completed(jobs)
        ends = [datetime.fromisoformat(client.job(job)["finished_at"]).timestamp() for job in [*first, *jobs]]
        due = ends.pop(0) + 1.5

    assert min(ends) > due - 0.1
    assert max(ends) - min(ends) < 0.5


@pytest.mark.gateway("pseudo")
def test_a_deletion_comes_after_what_was_written_and_not_counted_yet(start: Start) -> None:
    """It is not undone by the next start, which writes again what was not counted, nor by a rebuilt store."""
    gateway = start("pseudo", FLUSH_EVERY_S=str(NEVER_S))
    texts = {f"d-{n}": f"document {n} of many words" for n in range(3_000)}
    with client_of(gateway) as client:
        job = client.http.post(
            "/v1/ingest", json={"documents": [{"id": name, "text": text} for name, text in texts.items()]}
        ).json()["job_id"]
        while client.http.get("/v1/documents/d-100").status_code == 404:
            assert client.job(job)["status"] in ("pending", "running")
        assert client.http.delete("/v1/documents/d-100").status_code == 200
        counted = client.job(job)["processed_documents"]
    killed_and_restarted(gateway)

    with client_of(gateway) as client:
        assert counted > 100
        client.completed([job])
        assert client.http.get("/v1/documents/d-100").status_code == 404
        assert client.http.get("/healthz").json()["document_count"] == len(texts) - 1
    gateway.stop()
    assert (done := run("reindex", gateway, "--gateway", "pseudo")).returncode == 0, done.stderr
    gateway.start()
    with client_of(gateway) as client:
        assert client.http.get("/v1/documents/d-100").status_code == 404
        assert client.http.get("/healthz").json()["document_count"] == len(texts) - 1


@pytest.mark.gateway("pseudo")
def test_a_stop_counts_what_is_written(start: Start) -> None:
    """The next start goes on from there, and does not do it again."""
    gateway = start("pseudo", FLUSH_EVERY_S=str(NEVER_S))
    with client_of(gateway) as client:
        documents = [{"id": f"d-{n}", "text": f"document {n} of many words"} for n in range(5_000)]
        job = client.http.post("/v1/ingest", json={"documents": documents}).json()["job_id"]
        while client.http.get("/v1/documents/d-100").status_code == 404:
            assert client.job(job)["status"] in ("pending", "running")
    gateway.stop()
    gateway.start()
    with client_of(gateway) as client:
        assert client.job(job)["processed_documents"] > 100
        client.completed([job])
