"""More than a gateway can do: what it refuses, how it says so, and that it is well again afterwards."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import count, islice
from pathlib import Path

import httpx
import pytest

from tests.support.gateways import Gateway, describe, wait_until
from tests.support.ingest_client import client_of
from tests.support.load import load
from tests.support.metrics import metric
from tests.support.raw_http import answers, connected, embeddings

WAIT_MS = 100
CLIENTS, EACH = 120, 6
PATIENT = 16
LONG = " of very many which are all alike" * 8


@pytest.fixture(params=["onnx_py", "split"])
def gateway(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Gateway]:
    """Yield a gateway on one core that lets nobody wait long for the model."""
    started = describe(request.param, tmp_path, MAX_WAIT_MS=str(WAIT_MS), THREADS="1")
    yield started.start()
    started.kill()


def post_long(http: httpx.Client, number: int) -> int:
    """Embed a long text that no other call has; the status."""
    return http.post("/v1/embeddings", json={"input": f"call {number}{LONG}"}).status_code


def test_overload_is_refused_and_over_at_once(gateway: Gateway) -> None:
    """Far more clients than it can serve in time: 200, or 429 with a time to come back; then it is well again."""
    numbers = count()
    with gateway.client() as http:
        for _ in range(20):  # it has to know how fast it is
            assert http.post("/v1/embeddings", json={"input": f"number {next(numbers)}"}).status_code == 200

        def ask(_: int) -> list[httpx.Response]:
            with gateway.client() as own:
                bodies = ({"input": f"number {next(numbers)}{LONG}"} for _ in range(EACH))
                return [own.post("/v1/embeddings", json=body) for body in bodies]

        with ThreadPoolExecutor(CLIENTS) as pool:
            answers = [answer for batch in pool.map(ask, range(CLIENTS)) for answer in batch]
        health = http.get("/readyz")
        after = http.post("/v1/embeddings", json={"input": "when it is over"})

    refused = [answer for answer in answers if answer.status_code == 429]
    assert {answer.status_code for answer in answers} == {200, 429}
    assert 0 < len(refused) < len(answers)
    assert all(int(answer.headers["retry-after"]) >= 1 for answer in refused)
    assert "would wait" in refused[0].json()["error"]["message"]
    assert metric(f"{gateway.url}/metrics", "gateway_refusals_total") > 0
    assert (health.status_code, after.status_code) == (200, 200)


def test_who_is_refused_keeps_the_connection(gateway: Gateway) -> None:
    """Told all that an answer tells, counted once, and served on the same connection when it is over."""
    numbers = count()
    own: list[int] = []
    with connected(gateway) as bare:

        def ask(within_ms: int) -> tuple[int, bytes]:
            texts = [f"number {next(numbers)}"]
            bare.sendall(embeddings(texts, f"X-Request-Timeout-Ms: {within_ms}", "X-Request-Id: its-own"))
            [response] = answers(bare, 1)
            own.append(response[0])
            return response

        assert {ask(60_000)[0] for _ in range(20)} == {200}  # it has to know how fast it is
        with load(gateway, PATIENT, post_long) as statuses:
            wait_until(lambda: ask(1)[0] == 429, 30, "a refusal")
            refused = [head for status, head in (ask(1) for _ in range(50)) if status == 429]
        assert ask(60_000)[0] == 200

    assert refused
    for field in (b"x-request-id: its-own", b"content-type: application/json", b"date: ", b"retry-after: "):
        assert all(field in head.lower() for head in refused)
    metrics = httpx.get(f"{gateway.url}/metrics", trust_env=False).text
    assert (
        f'gateway_requests_total{{route="/v1/embeddings",status="429"}} {(own + statuses).count(429):.1f}' in metrics
    )


def test_a_query_is_not_let_in_to_be_late(gateway: Gateway) -> None:
    """Behind more than half of what it may take it is refused at once; who may take longer is let in meanwhile."""
    numbers = count()
    with gateway.client() as http:

        def ask(within_ms: int) -> int:
            body = {"input": f"number {next(numbers)}{LONG}"}
            headers = {"X-Request-Timeout-Ms": str(within_ms)}
            return http.post("/v1/embeddings", json=body, headers=headers).status_code

        assert {ask(60_000) for _ in range(20)} == {200}  # it has to know how fast it is
        with load(gateway, PATIENT, lambda *_: ask(60_000)) as patient:
            wait_until(lambda: ask(1) == 429, 30, "a refusal")
        assert 200 in patient


def test_bulk_and_queries_both_get_on(gateway: Gateway, passages: dict[str, str]) -> None:
    """While queries keep coming an ingest gets on; while it runs no query is refused, none waits for all of it."""
    texts = dict(islice(passages.items(), 80))

    def search(http: httpx.Client, number: int) -> int:
        return http.post("/v1/search", json={"query": f"question number {number}"}).status_code

    with client_of(gateway) as client:
        with load(gateway, 1, search) as statuses:
            wait_until(lambda: len(statuses) > 20, 30, "the first answers")
            jobs = client.submit(texts)
            begun = len(statuses)
            client.completed(jobs)
            meanwhile = len(statuses) - begun
        client.holds_exactly(texts)

    assert set(statuses) == {200}
    assert meanwhile > len(texts) / 4
