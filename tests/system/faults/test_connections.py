"""Clients that hang up, send nothing, send slowly or send too much: what they cost those who behave."""

from __future__ import annotations

import hashlib
import time
from contextlib import suppress
from itertools import islice
from pathlib import Path

import orjson
import pytest

from tests.support.gateways import wait_until
from tests.support.metrics import metric
from tests.support.raw_http import answer, answers, connected, embeddings
from tests.system.faults.conftest import Start

READ_S = 1


@pytest.mark.parametrize("name", ["onnx_py", "split"])
def test_what_nobody_waits_for_never_reaches_the_model(start: Start, passages: dict[str, str], name: str) -> None:
    """A client asks for much and hangs up: what was still queued leaves the queue, through the thin gateway too."""
    gateway = start(name)
    texts = list(islice(passages.values(), 400))
    before = metric(gateway.metrics_url, "gateway_forward_texts_total")

    def computed() -> float:
        return metric(gateway.metrics_url, "gateway_forward_texts_total") - before

    with connected(gateway) as client:
        client.sendall(embeddings(texts))
        wait_until(computed, 30, "the first passes")
        assert metric(gateway.metrics_url, "gateway_queue_tokens") > 10_000

    wait_until(lambda: metric(gateway.metrics_url, "gateway_queue_tokens") == 0, 5, "an empty queue")
    assert computed() < len(texts) / 2


@pytest.mark.gateway("onnx_py")
def test_a_deadline_of_the_clients_own(start: Start, passages: dict[str, str]) -> None:
    """X-Request-Timeout-Ms is when the client is told 504, and what was queued for it is not run."""
    gateway = start("onnx_py")
    texts = list(islice(passages.values(), 400))
    before = metric(gateway.metrics_url, "gateway_forward_texts_total")
    with gateway.client() as http:
        late = http.post("/v1/embeddings", json={"input": texts}, headers={"X-Request-Timeout-Ms": "300"})
        wrong = http.post("/v1/embeddings", json={"input": "a text"}, headers={"X-Request-Timeout-Ms": "soon"})
        wait_until(lambda: metric(gateway.metrics_url, "gateway_queue_tokens") == 0, 5, "an empty queue")
        after = http.post("/v1/embeddings", json={"input": "a text"}, headers={"X-Request-Timeout-Ms": "30000"})

    assert (late.status_code, wrong.status_code, after.status_code) == (504, 400, 200)
    assert "0.3 s" in late.json()["error"]["message"]
    assert wrong.json()["error"]["param"] == "X-Request-Timeout-Ms"
    assert metric(gateway.metrics_url, "gateway_forward_texts_total") - before < len(texts) / 2


@pytest.mark.gateway("pseudo")
def test_a_request_that_comes_too_slowly_is_not_waited_for(start: Start) -> None:
    """Neither for a request that never begins, nor for one that drips: 408, and the connection is closed."""
    gateway = start("pseudo", READ_TIMEOUT_S=str(READ_S))
    whole = embeddings(["a text"])
    for sent in (b"", whole[:30], whole[:-3]):
        with connected(gateway) as client:
            client.sendall(sent)
            status, response = answer(client)

            assert status == 408, response
            assert orjson.loads(response.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"
    with connected(gateway) as client:
        begun_s = time.monotonic()
        for byte in whole[:-1]:  # one that drips, and never ends
            try:
                client.sendall(bytes([byte]))
            except OSError:
                break  # closed already
            time.sleep(2 * READ_S / len(whole))
        status, response = answer(client)
        assert status == 408, response
        assert time.monotonic() - begun_s < 10 * READ_S
    with gateway.client() as http:
        assert http.post("/v1/embeddings", json={"input": "a text"}).status_code == 200


@pytest.mark.gateway("pseudo")
def test_a_head_without_end_is_cut_off(start: Start) -> None:
    """431 once the header fields are over their limit, whether one is long or many come."""
    gateway = start("pseudo")
    for more in (["X-Long: " + "x" * 100_000], [f"X-Many-{n}: {n}" for n in range(8_000)]):
        with connected(gateway) as client:
            head = embeddings(["a text"], *more).partition(b"\r\n\r\n")[0]
            with suppress(OSError):  # it may be cut off before all was sent
                client.sendall(head)
            status, response = answer(client)

        assert status == 431, response[:300]
        assert orjson.loads(response.partition(b"\r\n\r\n")[2])["error"]["code"] == "header_too_large"


@pytest.mark.gateway("pseudo")
def test_a_line_of_the_log_cannot_be_forged(start: Start) -> None:
    """What a client sends stands in the log escaped, on the line it belongs to."""
    gateway = start("pseudo", LOG_LEVEL="debug")
    with gateway.client() as http:
        http.post("/v1/ingest", json={"documents": [{"id": "x\n2026-01-01 CRITICAL root: forged", "text": "a"}]})
        http.get("/v1/jobs/x%0a2026-01-01%20CRITICAL%20root:%20forged")

    assert not [line for line in gateway.front.log().splitlines() if line.startswith("2026-01-01 CRITICAL")]


@pytest.mark.gateway("pseudo")
def test_a_listener_with_a_certificate(start: Start) -> None:
    """TLS_CERTFILE and TLS_KEYFILE serve HTTPS; one without the other is told at the start."""
    gateway = start("pseudo")
    gateway.front.kill()
    gateway.front.environ["TLS_CERTFILE"] = "/nowhere/cert.pem"
    gateway.front.launch()
    assert gateway.front.popen is not None

    assert gateway.front.popen.wait(30) == 2
    assert "TLS_CERTFILE and TLS_KEYFILE go together" in gateway.front.log()


@pytest.mark.gateway("pseudo")
def test_what_is_refused_by_its_head_leaves_the_connection_as_it_was(start: Start) -> None:
    """Answered before its body is there, with all that an answer has, counted once; the next one is served."""
    gateway = start("pseudo", API_KEYS="a-key")
    unknown = embeddings(["a text"])
    known = embeddings(["a text"], "Authorization: Bearer a-key")
    head, blank, body = unknown.partition(b"\r\n\r\n")
    with connected(gateway) as client:
        client.sendall(head + blank)
        [(status, response_head)] = answers(client, 1)
        assert status == 401
        for field in (b"x-request-id: ", b"content-type: application/json", b"date: "):
            assert field in response_head
        assert b"connection: close" not in response_head
        client.sendall(body + known)
        assert [status for status, _ in answers(client, 1)] == [200]
        client.sendall((unknown + known) * 20 + unknown)
        assert [status for status, _ in answers(client, 41)] == [401, 200] * 20 + [401]
        client.sendall(embeddings(["a text"], "Connection: close"))
        assert answer(client)[0] == 401

    let_in = {"Authorization": "Bearer a-key"}
    with gateway.client(headers=let_in) as http:
        metrics = http.get("/metrics").text
    assert 'gateway_requests_total{route="/v1/embeddings",status="401"} 23.0' in metrics
    assert 'gateway_requests_total{route="/v1/embeddings",status="200"} 21.0' in metrics


@pytest.mark.gateway("pseudo")
def test_a_keys_requests_are_counted_once(start: Start, tmp_path: Path) -> None:
    """Of three a minute three are let in, though a request is looked at by its head and then served."""
    keys = tmp_path / "keys.yaml"
    digest = hashlib.sha256(b"a-key").hexdigest()
    keys.write_text(f"keys:\n  - {{name: few, sha256: {digest}, scopes: [read], requests_per_minute: 3}}\n")
    gateway = start("pseudo", API_KEYS_FILE=str(keys))
    let_in = {"Authorization": "Bearer a-key"}
    with gateway.client(headers=let_in) as http:
        statuses = [http.post("/v1/embeddings", json={"input": "a text"}).status_code for _ in range(4)]

    assert statuses == [200, 200, 200, 429]
