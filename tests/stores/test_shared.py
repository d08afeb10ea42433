"""Two real gateways on one PostgreSQL: one contract, one set of documents, one queue of jobs."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.faults.proxy import serving as balancing
from tests.processes import ROOT, Gateway, wait_until
from tests.serving import http, serving

DOCUMENTS = 400


@pytest.mark.parametrize("two", ["onnx_py"], indirect=True)
def test_both_answer_the_full_contract(two: list[Gateway]) -> None:
    """Every contract test, each connection to the other of the two; what they count is added up."""
    ports = itertools.cycle([int(gateway.url.rpartition(":")[2]) for gateway in two])
    with balancing(lambda: ("127.0.0.1", next(ports))) as balancer, serving(lambda _: _added_up(two)) as (port, _):
        metrics_url = f"http://127.0.0.1:{port}/metrics"
        environ = {**os.environ, "GATEWAY_URL": balancer.url, "GATEWAY_METRICS_URL": metrics_url}
        tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/contract"]
        ran = subprocess.run(tests, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)  # noqa: S603
    assert ran.returncode == 0, ran.stdout[-4000:]


def test_what_one_is_given_the_other_finds(two: list[Gateway]) -> None:
    """Documents, collections and their profiles, at once."""
    one, other = (httpx.Client(base_url=gateway.url, timeout=30, trust_env=False) for gateway in two)
    with one, other:
        assert one.put("/v1/collections/books", json={"top_k": 2}).status_code == 201
        assert other.get("/v1/collections/books").json()["top_k"] == 2
        job = one.post("/v1/ingest", json={"collection": "books", "documents": [{"id": "a", "text": "a harbour"}]})
        wait_until(lambda: other.get(f"/v1/jobs/{job.json()['job_id']}").json()["finished_at"], 30, "the job")
        for client in (one, other):
            found = client.post("/v1/search", json={"collection": "books", "query": "harbour"}).json()
            assert [hit["id"] for hit in found["results"]] == ["a"]
            assert client.get("/healthz").json()["document_count"] == 1
        assert other.delete("/v1/documents/a", params={"collection": "books"}).status_code == 200
        assert one.get("/v1/documents/a", params={"collection": "books"}).status_code == 404
        assert other.delete("/v1/collections/books").status_code == 200
        assert one.post("/v1/search", json={"collection": "books", "query": "x"}).status_code == 404


def test_a_killed_gateways_job_is_finished_by_the_other(two: list[Gateway], tmp_path: Path) -> None:
    """Whichever has it is killed half-way: after its lease the other goes on, and every document is there once."""
    with httpx.Client(base_url=two[0].url, timeout=30, trust_env=False) as client:
        documents = [{"id": f"d{n}", "text": f"document {n} " + "of many words " * 40} for n in range(DOCUMENTS)]
        job = client.post("/v1/ingest", json={"documents": documents}).json()["job_id"]

        def processed() -> int:
            return int(client.get(f"/v1/jobs/{job}").json()["processed_documents"])

        wait_until(lambda: 0 < processed() < DOCUMENTS, 60, "the middle of the job")
    counted = [_ingested(gateway) for gateway in two]
    at_it = counted.index(max(counted))
    two[at_it].kill()
    left = two[1 - at_it]
    with httpx.Client(base_url=left.url, timeout=30, trust_env=False) as client:
        wait_until(lambda: client.get(f"/v1/jobs/{job}").json()["finished_at"], 90, "the job, by the other")
        assert client.get(f"/v1/jobs/{job}").json()["status"] == "completed"
        assert client.get("/healthz").json()["document_count"] == DOCUMENTS
        assert _ingested(left) > 0
        assert client.get("/v1/documents/d399").status_code == 200


def test_a_database_that_goes_away_fails_no_job(two: list[Gateway], database_url: str) -> None:
    """Its connections are cut again and again in the middle of a job: the job waits, goes on, and is completed."""
    with httpx.Client(base_url=two[0].url, timeout=30, trust_env=False) as client:
        documents = [{"id": f"d{n}", "text": f"document {n} " + "of many words " * 40} for n in range(DOCUMENTS)]
        job = client.post("/v1/ingest", json={"documents": documents}).json()["job_id"]

        def told() -> dict[str, object]:
            answer = client.get(f"/v1/jobs/{job}")
            return dict(answer.json()) if answer.status_code == 200 else {}

        cut = """
            SELECT pg_terminate_backend(pid) FROM pg_stat_activity
            WHERE datname = current_database() AND pid <> pg_backend_pid()
        """
        for least in (1, 100, 200):
            wait_until(lambda least=least: int(str(told().get("processed_documents", 0))) >= least, 60, "progress")  # type: ignore[misc]
            with psycopg.connect(database_url, autocommit=True) as connection:
                connection.execute(cut)
        wait_until(lambda: told().get("finished_at"), 90, "the end of the job")
        assert told()["status"] == "completed"
        for gateway in two:
            wait_until(lambda url=gateway.url: httpx.get(f"{url}/healthz").json()["status"] == "ok", 30, "health")  # type: ignore[misc]
        assert client.get("/healthz").json()["document_count"] == DOCUMENTS


def _ingested(gateway: Gateway) -> float:
    lines = httpx.get(f"{gateway.url}/metrics", trust_env=False).text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("gateway_ingested_documents_total"))


def _added_up(gateways: list[Gateway]) -> bytes:
    """Answer with each of our series as the sum of what the gateways say."""
    totals: dict[str, float] = {}
    for gateway in gateways:
        for line in httpx.get(f"{gateway.url}/metrics", trust_env=False).text.splitlines():
            if line.startswith("gateway_"):
                series, _, value = line.rpartition(" ")
                totals[series] = totals.get(series, 0.0) + float(value)
    return http(200, "".join(f"{series} {value}\n" for series, value in totals.items()).encode())
