"""Clients that hang up, send nothing, send slowly or send too much: what they cost those who behave."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from itertools import islice
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from tests.faults.client import metric
from tests.faults.conftest import Start
from tests.processes import Gateway, wait_until

READ_S = 1


def connected(gateway: Gateway) -> socket.socket:
    """Open a bare connection."""
    address = urlsplit(gateway.url)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=30)


def request(path: str, body: bytes, *more: str) -> bytes:
    """Return a POST as it goes over the wire."""
    fields = ["Host: here", "Content-Type: application/json", f"Content-Length: {len(body)}", *more]
    return "\r\n".join([f"POST {path} HTTP/1.1", *fields, "", ""]).encode() + body


def embeddings(texts: list[str], *more: str) -> bytes:
    """Return a request for embeddings as it goes over the wire."""
    return request("/v1/embeddings", orjson.dumps({"input": texts}), *more)


def answer(client: socket.socket) -> tuple[int, bytes]:
    """Read until the server closes; the status and all of the rest."""
    said = b""
    while piece := client.recv(1 << 16):
        said += piece
    return int(said.split(b" ", 2)[1]), said


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


def test_a_deadline_of_the_clients_own(start: Start, passages: dict[str, str]) -> None:
    """X-Request-Timeout-Ms is when the client is told 504, and what was queued for it is not run."""
    gateway = start("onnx_py")
    texts = list(islice(passages.values(), 400))
    before = metric(gateway.metrics_url, "gateway_forward_texts_total")
    with httpx.Client(base_url=gateway.url, timeout=60, trust_env=False) as http:
        late = http.post("/v1/embeddings", json={"input": texts}, headers={"X-Request-Timeout-Ms": "300"})
        wrong = http.post("/v1/embeddings", json={"input": "a text"}, headers={"X-Request-Timeout-Ms": "soon"})
        wait_until(lambda: metric(gateway.metrics_url, "gateway_queue_tokens") == 0, 5, "an empty queue")
        after = http.post("/v1/embeddings", json={"input": "a text"}, headers={"X-Request-Timeout-Ms": "30000"})

    assert (late.status_code, wrong.status_code, after.status_code) == (504, 400, 200)
    assert "0.3 s" in late.json()["error"]["message"]
    assert wrong.json()["error"]["param"] == "X-Request-Timeout-Ms"
    assert metric(gateway.metrics_url, "gateway_forward_texts_total") - before < len(texts) / 2


def test_a_request_that_comes_too_slowly_is_not_waited_for(start: Start) -> None:
    """Neither for a request that never begins, nor for one that drips: 408, and the connection is closed."""
    gateway = start("pseudo")
    gateway.front.kill()
    gateway.front.environ["READ_TIMEOUT_S"] = str(READ_S)
    gateway.front.start()
    whole = embeddings(["a text"])
    for sent in (b"", whole[:30], whole[:-3]):
        with connected(gateway) as client:
            client.sendall(sent)
            status, said = answer(client)

            assert status == 408, said
            assert orjson.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] == "request_timeout"
    with connected(gateway) as client:
        begun_s = time.monotonic()
        for byte in whole[:-1]:  # one that drips, and never ends
            try:
                client.sendall(bytes([byte]))
            except OSError:
                break  # closed already
            time.sleep(2 * READ_S / len(whole))
        status, said = answer(client)
        assert status == 408, said
        assert time.monotonic() - begun_s < 10 * READ_S
    with httpx.Client(base_url=gateway.url, timeout=60, trust_env=False) as http:
        assert http.post("/v1/embeddings", json={"input": "a text"}).status_code == 200


def test_a_head_without_end_is_cut_off(start: Start) -> None:
    """431 once the header fields are over their limit, whether one is long or many come."""
    gateway = start("pseudo")
    for more in (["X-Long: " + "x" * 100_000], [f"X-Many-{n}: {n}" for n in range(8_000)]):
        with connected(gateway) as client:
            head = embeddings(["a text"], *more).partition(b"\r\n\r\n")[0]
            with suppress(OSError):  # it may be cut off before all was sent
                client.sendall(head)
            status, said = answer(client)

        assert status == 431, said[:300]
        assert orjson.loads(said.partition(b"\r\n\r\n")[2])["error"]["code"] == "header_too_large"


def test_a_line_of_the_log_cannot_be_forged(start: Start) -> None:
    """What a client sends stands in the log escaped, on the line it belongs to."""
    gateway = start("pseudo")
    gateway.front.kill()
    gateway.front.environ["LOG_LEVEL"] = "debug"
    gateway.front.start()
    with httpx.Client(base_url=gateway.url, timeout=60, trust_env=False) as http:
        http.post("/v1/ingest", json={"documents": [{"id": "x\n2026-01-01 CRITICAL root: forged", "text": "a"}]})
        http.get("/v1/jobs/x%0a2026-01-01%20CRITICAL%20root:%20forged")

    assert not [line for line in gateway.front.log().splitlines() if line.startswith("2026-01-01 CRITICAL")]


def test_a_listener_with_a_certificate(start: Start) -> None:
    """TLS_CERTFILE and TLS_KEYFILE serve HTTPS; one without the other is told at the start."""
    gateway = start("pseudo")
    gateway.front.kill()
    gateway.front.environ["TLS_CERTFILE"] = "/nowhere/cert.pem"
    gateway.front.launch()
    assert gateway.front.popen is not None

    assert gateway.front.popen.wait(30) == 2
    assert "TLS_CERTFILE and TLS_KEYFILE go together" in gateway.front.log()
