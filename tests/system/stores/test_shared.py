"""Two real gateways on one PostgreSQL: one contract, one set of documents, one queue of jobs."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import httpx
import psycopg
import pytest

from tests.support.canned_server import canned_answers, http
from tests.support.gateways import ROOT, Gateway, wait_until
from tests.support.metrics import metric, samples
from tests.support.tcp_proxy import balancing

DOCUMENTS = 400


# Of two workers the second one takes at once what would have to wait.
NOT_OF_TWO = ("--deselect", "tests/contract/test_jobs.py::test_a_pending_job_never_runs")
SERVED = ["pseudo", "onnx_py"]
# Ends every other connection to the database.
CUT = """
SELECT pg_terminate_backend(pid) FROM pg_stat_activity
WHERE datname = current_database() AND pid <> pg_backend_pid()
"""


@pytest.mark.slow("80 s a gateway: the contract is run on each of the four gateways alone")
@pytest.mark.parametrize("two", SERVED, indirect=True)
def test_both_answer_the_full_contract(two: list[Gateway]) -> None:
    """Every contract test, each connection to the other of the two; what they count is added up."""
    ports = itertools.cycle([int(gateway.url.rpartition(":")[2]) for gateway in two])
    with (
        balancing(lambda: ("127.0.0.1", next(ports))) as balancer,
        canned_answers(lambda _: _added_up(two)) as (port, _),
    ):
        metrics_url = f"http://127.0.0.1:{port}/metrics"
        environ = {**os.environ, "GATEWAY_URL": balancer.url, "GATEWAY_METRICS_URL": metrics_url}
        tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/contract", *NOT_OF_TWO]
        ran = subprocess.run(tests, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)  # noqa: S603
    assert ran.returncode == 0, ran.stdout[-4000:]


def test_what_one_is_given_the_other_finds(two: list[Gateway]) -> None:
    """Documents, collections and their profiles, at once."""
    first_client, second_client = (gateway.client(timeout_s=30) for gateway in two)
    with first_client, second_client:
        assert first_client.put("/v1/collections/books", json={"top_k": 2}).status_code == 201
        assert second_client.get("/v1/collections/books").json()["top_k"] == 2
        job = first_client.post(
            "/v1/ingest", json={"collection": "books", "documents": [{"id": "a", "text": "a harbour"}]}
        )
        wait_until(lambda: second_client.get(f"/v1/jobs/{job.json()['job_id']}").json()["finished_at"], 30, "the job")
        for client in (first_client, second_client):
            response = client.post("/v1/search", json={"collection": "books", "query": "harbour"}).json()
            assert [hit["id"] for hit in response["results"]] == ["a"]
            assert client.get("/healthz").json()["document_count"] == 1
        assert second_client.delete("/v1/documents/a", params={"collection": "books"}).status_code == 200
        assert first_client.get("/v1/documents/a", params={"collection": "books"}).status_code == 404
        assert second_client.delete("/v1/collections/books").status_code == 200
        assert first_client.post("/v1/search", json={"collection": "books", "query": "x"}).status_code == 404


def test_a_killed_gateways_job_is_finished_by_the_other(two: list[Gateway], tmp_path: Path) -> None:
    """Whichever has it is killed half-way: after its lease the other goes on, and every document is there once."""
    with two[0].client(timeout_s=30) as client:
        documents = [{"id": f"d{n}", "text": f"document {n} " + "of many words " * 40} for n in range(DOCUMENTS)]
        job = client.post("/v1/ingest", json={"documents": documents}).json()["job_id"]

        def processed() -> int:
            return int(client.get(f"/v1/jobs/{job}").json()["processed_documents"])

        wait_until(lambda: 0 < processed() < DOCUMENTS, 60, "the middle of the job")
    counted = [_ingested(gateway) for gateway in two]
    at_it = counted.index(max(counted))
    two[at_it].kill()
    left = two[1 - at_it]
    with left.client(timeout_s=30) as client:
        wait_until(lambda: client.get(f"/v1/jobs/{job}").json()["finished_at"], 90, "the job, by the other")
        assert client.get(f"/v1/jobs/{job}").json()["status"] == "completed"
        assert client.get("/healthz").json()["document_count"] == DOCUMENTS
        assert _ingested(left) > 0
        assert client.get("/v1/documents/d399").status_code == 200


def test_a_database_that_goes_away_fails_no_job(two: list[Gateway], database_url: str) -> None:
    """Its connections are cut again and again in the middle of a job: the job waits, goes on, and is completed."""
    with two[0].client(timeout_s=30) as client:
        documents = [{"id": f"d{n}", "text": f"document {n} " + "of many words " * 40} for n in range(DOCUMENTS)]
        job = client.post("/v1/ingest", json={"documents": documents}).json()["job_id"]

        def job_status() -> dict[str, object]:
            answer = client.get(f"/v1/jobs/{job}")
            return dict(answer.json()) if answer.status_code == 200 else {}

        for least in (1, 100, 200):
            wait_until(
                lambda least=least: int(str(job_status().get("processed_documents", 0))) >= least,  # type: ignore[misc]
                60,
                "progress",
            )
            with psycopg.connect(database_url, autocommit=True) as connection:
                connection.execute(CUT)
        wait_until(lambda: job_status().get("finished_at"), 90, "the end of the job")
        assert job_status()["status"] == "completed"
        for gateway in two:
            wait_until(lambda url=gateway.url: httpx.get(f"{url}/healthz").json()["status"] == "ok", 30, "health")  # type: ignore[misc]
        assert client.get("/healthz").json()["document_count"] == DOCUMENTS


def test_a_database_that_does_not_answer_ends_no_gateway(two: list[Gateway], database_url: str) -> None:
    """A liveness probe with the chart's 3 s is answered while a lock holds up every statement."""
    with psycopg.connect(database_url) as connection:
        rows = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public'").fetchall()
        for (table,) in rows:
            connection.execute(f'LOCK TABLE "{table}" IN ACCESS EXCLUSIVE MODE'.encode())
        with two[0].client(timeout_s=3) as client:
            answers = [client.get("/healthz") for _ in range(3)]

    assert rows
    assert [(answer.status_code, answer.json()["status"]) for answer in answers] == [(200, "ok")] * 3


def test_a_database_that_is_read_only_for_a_while_loses_no_job(two: list[Gateway], database_url: str) -> None:
    """As after a failover: an ingest is a 503, the one before it waits, and both gateways go on afterwards."""
    documents = [{"id": f"d{n}", "text": f"document {n} " + "of many words " * 40} for n in range(DOCUMENTS)]

    def set_read_only(value: str) -> None:
        with psycopg.connect(database_url, autocommit=True) as connection:
            connection.execute("SET default_transaction_read_only = off")
            name = connection.info.dbname
            connection.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = {value}".encode())
            connection.execute(CUT)

    with two[0].client(timeout_s=30) as client:
        job = client.post("/v1/ingest", json={"documents": documents}).json()["job_id"]
        set_read_only("on")
        refused = []
        for _ in range(20):  # longer than both workers wait before they look for a job
            refused.append(client.post("/v1/ingest", json={"documents": documents[:1]}))
            time.sleep(0.15)
        set_read_only("off")
        wait_until(lambda: client.get(f"/v1/jobs/{job}").json().get("finished_at"), 90, "the end of the job")

        assert {answer.status_code for answer in refused} == {503}, [answer.text for answer in refused]
        assert client.get(f"/v1/jobs/{job}").json()["status"] == "completed"
        for gateway in two:
            assert httpx.get(f"{gateway.url}/healthz").json()["status"] == "ok"
            assert httpx.get(f"{gateway.url}/readyz").status_code == 200
        assert client.get("/healthz").json()["document_count"] == DOCUMENTS


def _ingested(gateway: Gateway) -> float:
    return metric(f"{gateway.url}/metrics", "gateway_ingested_documents_total")


def _added_up(gateways: list[Gateway]) -> bytes:
    """Answer with each of our series as the sum of what the gateways say."""
    totals: Counter[str] = Counter()
    for gateway in gateways:
        totals.update(samples(f"{gateway.url}/metrics"))
    ours = {series: value for series, value in totals.items() if series.startswith("gateway_")}
    return http(200, "".join(f"{series} {value}\n" for series, value in ours.items()).encode())


@pytest.mark.slow("30 s: a gateway is paused for longer than its lease")
def test_a_gateway_that_was_paused_beyond_its_lease_overwrites_nothing(two: list[Gateway]) -> None:
    """The other one completes its job and replaces every document. The first one then changes nothing."""
    sleeper, other = two
    old = [{"id": f"d{number}", "text": f"old text {number} " + "of many words " * 40} for number in range(DOCUMENTS)]
    new = [{"id": f"d{number}", "text": f"new text {number}"} for number in range(DOCUMENTS)]
    with other.client(timeout_s=30) as client:
        job = _pause_in_a_job(sleeper, other, old)
        try:
            wait_until(lambda: client.get(f"/v1/jobs/{job}").json()["finished_at"], 120, "the job, by the other")
            newer = client.post("/v1/ingest", json={"documents": new}).json()["job_id"]
            wait_until(lambda: client.get(f"/v1/jobs/{newer}").json()["finished_at"], 60, "the newer job")
        finally:
            os.kill(sleeper.front.pid, signal.SIGCONT)
        # It learns of it at its next write, or finds that the server has ended its transaction.
        signs = ("taken over by another", f"ingest job {job} waits after error")
        wait_until(lambda: any(sign in sleeper.front.log() for sign in signs), 60, "the first one, awake")

        state = client.get(f"/v1/jobs/{job}").json()
        assert (state["status"], state["processed_documents"], state["errors"]) == ("completed", DOCUMENTS, [])
        texts = [client.get(f"/v1/documents/d{number}").json()["text"] for number in range(DOCUMENTS)]
        assert texts == [document["text"] for document in new]


def _pause_in_a_job(sleeper: Gateway, other: Gateway, documents: list[dict[str, str]]) -> str:
    """Return the id of a job that `sleeper` was paused in the middle of. The other one is paused while it starts."""
    os.kill(other.front.pid, signal.SIGSTOP)
    try:
        with sleeper.client(timeout_s=30) as http:
            job = str(http.post("/v1/ingest", json={"documents": documents}).json()["job_id"])
            path = f"/v1/jobs/{job}"
            wait_until(lambda: 0 < http.get(path).json()["processed_documents"] < DOCUMENTS, 60, "the middle")
        os.kill(sleeper.front.pid, signal.SIGSTOP)
    finally:
        os.kill(other.front.pid, signal.SIGCONT)
    return job
