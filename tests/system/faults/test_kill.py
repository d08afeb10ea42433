"""A 202 survives kill -9, of the gateway and of the embed service behind it."""

from __future__ import annotations

import os
import random
import time
from itertools import islice

import pytest

from tests.support.gateways import Gateway, wait_until
from tests.support.ingest_client import client_of
from tests.system.faults.conftest import Start

# `make faults` kills a hundred times.
ROUNDS = int(os.environ.get("FAULT_ROUNDS", "7"))
# A busy machine with two cores takes 10 s for a round.
LIMIT_S = 600 + 30 * ROUNDS
# Seconds between the last 202 and the kill: none, and others drawn in an order that is always the same, so that a
# failure comes again.
_moments = random.Random(2)  # noqa: S311
MOMENTS_S = [0.0, *(round(_moments.uniform(0.001, 0.4), 3) for _ in range(ROUNDS - 1))]
SEVERAL_HUNDRED = 300


def numbered(count: int, prefix: str = "d") -> dict[str, str]:
    """Texts by id, no two with the same words."""
    return {f"{prefix}-{n}": f"document {prefix} {n} about word{n * 7919 % 1009}" for n in range(count)}


def killed_and_restarted(gateway: Gateway, after_s: float = 0.0) -> None:
    """Kill -9 the front after some seconds, and start it again on the same folder and port."""
    time.sleep(after_s)
    gateway.front.kill()
    gateway.front.start()


@pytest.mark.gateway("pseudo")
@pytest.mark.timeout(LIMIT_S)
def test_kill_at_any_moment(start: Start) -> None:
    """Killed again and again, each time at another moment of an ingest: nothing is lost, nothing is there twice."""
    gateway = start("pseudo")
    texts: dict[str, str] = {}

    for round_, after_s in enumerate(MOMENTS_S):
        fresh = numbered(SEVERAL_HUNDRED, f"r{round_}")
        texts |= fresh
        with client_of(gateway) as client:
            jobs = client.submit(fresh)
        killed_and_restarted(gateway, after_s)
        with client_of(gateway) as client:
            client.completed(jobs)

    with client_of(gateway) as client:
        client.holds_exactly(texts)


@pytest.mark.gateway("split")
@pytest.mark.timeout(LIMIT_S)
def test_kill_of_any_process_at_any_moment(start: Start, passages: dict[str, str]) -> None:
    """The gateway, the embed service or both, again and again: every job completes, and every passage is there."""
    gateway = start("split")
    embed_service = gateway.processes["embed"]
    every = iter(passages.items())
    texts: dict[str, str] = {}

    for round_, after_s in enumerate(MOMENTS_S):
        fresh = dict(islice(every, 12))
        texts |= fresh
        with client_of(gateway) as client:
            jobs = client.submit(fresh)
        time.sleep(after_s)
        for process in ([gateway.front], [embed_service], [gateway.front, embed_service])[round_ % 3]:
            process.kill()
            process.launch()
        embed_service.wait_ready()
        gateway.front.wait_ready()
        with client_of(gateway) as client:
            client.completed(jobs)

    with client_of(gateway) as client:
        client.holds_exactly(texts)


@pytest.mark.gateway("pseudo")
def test_kill_with_several_jobs_waiting(start: Start) -> None:
    """Jobs that had not begun when the process was killed are worked off after the restart, in their order."""
    gateway = start("pseudo")
    texts = numbered(900)
    with client_of(gateway) as client:
        jobs = client.submit(texts)

    killed_and_restarted(gateway)

    with client_of(gateway) as client:
        client.completed(jobs)
        client.holds_exactly(texts)
        finished = [client.job(job_id)["finished_at"] for job_id in jobs]
        assert finished == sorted(finished)


@pytest.mark.gateway("pseudo")
def test_kill_twice_during_one_job(start: Start) -> None:
    """A second kill, during the recovery from the first, loses nothing either."""
    gateway = start("pseudo")
    texts = numbered(SEVERAL_HUNDRED)
    with client_of(gateway) as client:
        jobs = client.submit(texts)

    killed_and_restarted(gateway)
    killed_and_restarted(gateway)

    with client_of(gateway) as client:
        client.completed(jobs)
        client.holds_exactly(texts)


@pytest.mark.gateway("pseudo")
def test_an_idempotency_key_survives(start: Start) -> None:
    """A client that never saw its 202 repeats the request after the restart, and gets the job it had started."""
    gateway = start("pseudo")
    body = {"documents": [{"id": "a", "text": "only once"}]}
    with client_of(gateway) as client:
        first = client.http.post("/v1/ingest", json=body, headers={"Idempotency-Key": "k-1"}).json()

    killed_and_restarted(gateway)

    with client_of(gateway) as client:
        again = client.http.post("/v1/ingest", json=body, headers={"Idempotency-Key": "k-1"}).json()
        client.completed([first["job_id"]])
        assert again["job_id"] == first["job_id"]
        client.holds_exactly({"a": "only once"})


@pytest.mark.gateway("pseudo")
def test_a_deletion_survives(start: Start) -> None:
    """What DELETE acknowledged stays deleted."""
    gateway = start("pseudo")
    texts = numbered(20)
    with client_of(gateway) as client:
        client.completed(client.submit(texts))
        assert client.http.delete("/v1/documents/d-7").status_code == 200

    killed_and_restarted(gateway)

    with client_of(gateway) as client:
        client.holds_exactly({name: text for name, text in texts.items() if name != "d-7"})


@pytest.mark.gateway("onnx_py")
def test_kill_with_a_real_model(start: Start, passages: dict[str, str]) -> None:
    """The same with a model that takes its time: killed right after the 202, every passage is found."""
    gateway = start("onnx_py")
    texts = dict(islice(passages.items(), 60))
    with client_of(gateway) as client:
        jobs = client.submit(texts)

    killed_and_restarted(gateway)

    with client_of(gateway) as client:
        client.completed(jobs)
        client.holds_exactly(texts)


@pytest.mark.gateway("split")
def test_kill_of_the_embed_service_during_an_ingest(start: Start, passages: dict[str, str]) -> None:
    """The thin gateway says 503 while its embed service is away, and completes the job when it is back."""
    gateway = start("split")
    embed_service = gateway.processes["embed"]
    texts = dict(islice(passages.items(), 160))
    with client_of(gateway) as client:
        jobs = client.submit(texts)
        wait_until(lambda: client.job(jobs[0])["processed_documents"] > 0, 60, "the first documents of the job")

        embed_service.kill()
        wait_until(lambda: client.http.get("/readyz").status_code == 503, 30, "not ready without the embed service")
        refused = client.http.post("/v1/embeddings", json={"input": "anybody there?"})
        assert client.job(jobs[-1])["status"] in {"pending", "running"}
        embed_service.start()

        assert refused.status_code == 503
        assert refused.json()["error"]["type"] == "server_error"
        assert int(refused.headers["retry-after"]) > 0
        client.completed(jobs)
        client.holds_exactly(texts)


@pytest.mark.gateway("split")
def test_kill_of_both_halves(start: Start, passages: dict[str, str]) -> None:
    """Gateway and embed service killed together, then started in the wrong order: the job completes."""
    gateway = start("split")
    texts = dict(islice(passages.items(), 40))
    with client_of(gateway) as client:
        jobs = client.submit(texts)

    gateway.kill()
    gateway.front.launch()
    gateway.processes["embed"].start()
    gateway.front.wait_ready()

    with client_of(gateway) as client:
        client.completed(jobs)
        client.holds_exactly(texts)
