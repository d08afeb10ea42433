"""A client without a key cannot take the memory or the time of a gateway by what it sends or does not read."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path

import pytest

from tests.support.gateways import Gateway, wait_until
from tests.support.raw_http import answer, answers, connected, embeddings
from tests.support.witness import Witness, watched
from tests.system.http.conftest import Start

pytestmark = pytest.mark.gateway("pseudo")

PROBE = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
CHUNKED = b"POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
CONNECTIONS = 6
SENT_MB = 6  # by each connection, unless the gateway stops reading
MOST_GROWN_MB = 60
HEALTHZ_S = 0.5
# In /proc/net/tcp: the state of a listener, and the inode of a socket that no process has any more.
LISTEN, NO_PROCESS = "0A", "0"


def flood(client: socket.socket, data: bytes, megabytes: float) -> int:
    """Send `data` again and again without reading anything. Returns the bytes that the gateway took."""
    client.settimeout(0.5)
    repeated = data * (65_536 // len(data) + 1)
    sent = 0
    with suppress(OSError):
        while sent < megabytes * 1e6:
            sent += client.send(repeated[sent % len(data) :])
    return sent


def attack(gateway: Gateway, heads: Iterable[bytes], data: bytes) -> tuple[Witness, int]:
    """Flood by several connections, one after the other, all kept open. Returns the witness and the bytes sent."""
    with watched(gateway) as witness, ExitStack() as open_:
        sent = 0
        for head in heads:
            client = open_.enter_context(connected(gateway))
            client.sendall(head)
            sent += flood(client, data, SENT_MB)
        time.sleep(1)
    return witness, sent


def assert_unharmed(gateway: Gateway, witness: Witness, headers: dict[str, str] | None = None) -> None:
    """The process lives, its memory did not grow, `/healthz` was quick, and an honest request is served."""
    assert witness.asked > 10
    assert not witness.faults
    assert witness.grown_mb < MOST_GROWN_MB, f"{witness.grown_mb:.0f} MB more"
    assert witness.slowest_s < HEALTHZ_S, f"/healthz took {witness.slowest_s:.2f} s"
    with gateway.client(headers=headers) as http:
        assert http.post("/v1/embeddings", json={"input": "a text"}).status_code == 200
    assert "Traceback" not in gateway.front.logs[-1].read_text()


def test_pipelined_requests_do_not_queue_without_bound(start: Start) -> None:
    """Thousands of requests behind one that waits for its body or its reader: the rest is not even read."""
    gateway = start()
    head = b"POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nContent-Length: 50\r\n\r\n" + b" " * 50

    witness, sent = attack(gateway, [head] * CONNECTIONS, PROBE)

    assert_unharmed(gateway, witness)
    assert sent < CONNECTIONS * SENT_MB * 1e6, "everything was read, though no answer was"


def test_refusals_that_nobody_reads_do_not_pile_up(start: Start) -> None:
    """A stranger's requests are refused by their heads, and no more are read than its answers are."""
    gateway = start(API_KEYS="a-key")

    witness, sent = attack(gateway, [b""] * CONNECTIONS, embeddings(["a text"]))

    assert_unharmed(gateway, witness, {"Authorization": "Bearer a-key"})
    assert sent < CONNECTIONS * SENT_MB * 1e6, "everything was read, though no answer was"


@pytest.mark.parametrize("keys", ["", "a-key"])
@pytest.mark.parametrize("trailers", [b"X-T: v\r\n", b"x", b"x: " + b"y" * 60_000 + b"\r\n"])
def test_trailers_are_counted_as_headers_are(start: Start, keys: str, trailers: bytes) -> None:
    """Fields behind a chunked body end at their limit with 431, or with the connection where it is answered."""
    gateway = start(API_KEYS=keys)

    witness, _ = attack(gateway, [CHUNKED + b"1\r\n{\r\n0\r\n"] * CONNECTIONS, trailers)

    assert_unharmed(gateway, witness, {"Authorization": "Bearer a-key"} if keys else None)
    with connected(gateway) as client:
        client.sendall(CHUNKED + b"1\r\n{\r\n0\r\n")
        flood(client, trailers, 0.3)
        assert answer(client)[0] == (401 if keys else 431)


def test_a_trailer_changes_no_header(start: Start) -> None:
    """What was checked at the head is what counts: a key in a trailer is none."""
    gateway = start(API_KEYS="a-key")
    body = b'{"input": "a text"}'
    with connected(gateway) as client:
        client.sendall(CHUNKED + b"%x\r\n%b\r\n0\r\nAuthorization: Bearer a-key\r\n\r\n" % (len(body), body))
        assert [status for status, _ in answers(client, 1)] == [401]
        client.sendall(PROBE)
        assert [status for status, _ in answers(client, 1)] == [200]


def test_all_pipelined_requests_are_answered_in_order(start: Start) -> None:
    """A client that reads gets an answer for each of thousands of requests that it sent at once."""
    gateway = start()
    count = 3_000
    texts = [["a text"], ["a text", "another"]]
    with connected(gateway) as client:
        client.sendall(b"".join(embeddings(texts[n % 2]) if n % 100 == 0 else PROBE for n in range(count)))
        found = answers(client, count)
    assert {status for status, _ in found} == {200}


def test_an_answer_that_nobody_reads_ends_with_its_connection(start: Start) -> None:
    """WRITE_TIMEOUT_S without progress: its memory is free again, while a slow reader gets all of its answer."""
    gateway = start(WRITE_TIMEOUT_S="2")
    big = embeddings([f"text {n}" for n in range(2_000)])
    with ExitStack() as open_:
        silent = [open_.enter_context(connected(gateway)) for _ in range(4)]
        slow = open_.enter_context(connected(gateway))
        for client in [*silent, slow]:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
            client.sendall(big)
        received, deadline = b"", time.monotonic() + 60
        while b'"usage"' not in received[-400:]:
            piece = slow.recv(1 << 20)
            assert piece, "the slow reader was cut off"
            received += piece
            if time.monotonic() < deadline - 52:
                time.sleep(0.05)

        wait_until(lambda: established(gateway) <= 2, 20, "the end of the connections that nobody reads")
    assert gateway.front.stop() == 0


def established(gateway: Gateway) -> int:
    """Return the number of connections that the gateway has open."""
    port = int(gateway.url.rpartition(":")[2])
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[1].endswith(f":{port:04X}") and row[3] != LISTEN and row[9] != NO_PROCESS for row in rows)


def test_silent_connections_leave_room_for_others(start: Start) -> None:
    """Above MAX_CONNECTIONS the longest idle one is closed; busy ones stay, and the probes are still answered."""
    gateway = start(MAX_CONNECTIONS="20", READ_TIMEOUT_S="60")
    with watched(gateway) as witness, ExitStack() as open_:
        for _ in range(100):
            open_.enter_context(connected(gateway))
        time.sleep(1)
        with gateway.client() as http:
            assert http.post("/v1/embeddings", json={"input": "a text"}).status_code == 200
    assert_unharmed(gateway, witness)


def test_too_many_requests_at_once_are_refused_and_the_probes_are_not(start: Start) -> None:
    """All connections wait for a body: a further one gets 503 with Retry-After, and /healthz 200."""
    gateway = start(MAX_CONNECTIONS="5", READ_TIMEOUT_S="60")
    with ExitStack() as open_:
        for _ in range(5):
            client = open_.enter_context(connected(gateway))
            client.sendall(embeddings(["a text"])[:-3])
        time.sleep(0.5)
        with gateway.client() as http:
            assert http.get("/healthz").status_code == 200
            refused = http.get("/v1/models")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert refused.json()["error"]["code"] == "too_many_connections"
    with gateway.client() as http:
        wait_until(lambda: http.get("/v1/models").status_code == 200, 10, "room")


def test_line_breaks_between_requests_do_not_hold_a_connection(start: Start) -> None:
    """A client that sends nothing but line breaks after its request is idle: KEEP_ALIVE_S ends it."""
    gateway = start(KEEP_ALIVE_S="1")
    with connected(gateway) as client:
        client.sendall(PROBE)
        [(status, head)] = answers(client, 1)
        assert (status, b"keep-alive: timeout=1" in head) == (200, True)
        client.settimeout(0.2)
        begun_s = time.monotonic()
        while time.monotonic() < begun_s + 10:
            try:
                client.sendall(b"\r\n")
                if client.recv(1) == b"":
                    break
            except TimeoutError:
                continue
            except OSError:
                break
        assert time.monotonic() - begun_s < 5
