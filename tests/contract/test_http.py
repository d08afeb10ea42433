"""What HTTP clients and load balancers send besides the JSON of the contract."""

from __future__ import annotations

import gzip
import socket
import zlib
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
import pytest

from tests.contract.client import ok

TEXT = "The Danube flows through ten countries."
BODY = {"input": [TEXT]}
JSON = {"Content-Type": "application/json"}
# Of each dialect: a path, a body, and the field of an error that holds the sentence.
DIALECTS: list[tuple[str, dict[str, Any], str]] = [
    ("/v1/embeddings", BODY, "error"),
    ("/api/v1/embeddings", BODY, "error"),
    ("/v2/embed", {"texts": [TEXT]}, "message"),
    ("/embed", {"inputs": [TEXT]}, "error"),
    ("/embed", {"texts": [TEXT]}, "detail"),
    ("/", {"inputs": [TEXT]}, "error"),
]


def exchange(http: httpx.Client, raw: bytes) -> bytes:
    """Send bytes on a connection of their own, and return all that comes until it is closed."""
    address = urlsplit(str(http.base_url))
    with socket.create_connection((address.hostname or "", address.port or 80), timeout=30) as client:
        client.sendall(raw)
        answer = b""
        while piece := client.recv(1 << 16):
            answer += piece
    return answer


@pytest.mark.requires("dialects")
@pytest.mark.parametrize(("path", "body", "field"), DIALECTS)
def test_a_compressed_body_is_read(http: httpx.Client, path: str, body: dict[str, Any], field: str) -> None:
    """gzip and deflate give the answer of the plain body; another encoding is 415 in the shape of the dialect."""
    raw = orjson.dumps(body)
    plain = http.post(path, content=raw, headers=JSON).json()
    for encoding, content in [
        ("gzip", gzip.compress(raw)),
        ("GZIP", gzip.compress(raw)),
        ("deflate", zlib.compress(raw)),
    ]:
        answer = http.post(path, content=content, headers={**JSON, "Content-Encoding": encoding})
        assert answer.status_code == 200, answer.text
        assert type(answer.json()) is type(plain)

    refused = http.post(path, content=raw, headers={**JSON, "Content-Encoding": "br"})
    assert refused.status_code == 415
    assert "'br'" in str(refused.json()[field])
    assert "gzip" in refused.headers["accept-encoding"]


@pytest.mark.parametrize("fault", ["no gzip", "cut", "more behind it"])
def test_a_broken_compressed_body_is_refused(http: httpx.Client, fault: str) -> None:
    """400 that says what is wrong with it."""
    whole = gzip.compress(orjson.dumps(BODY))
    content = {"no gzip": b"{}", "cut": whole[:-9], "more behind it": whole + b"x"}[fault]
    refused = http.post("/v1/embeddings", content=content, headers={**JSON, "Content-Encoding": "gzip"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "invalid_encoding")


def test_a_compression_bomb_is_refused_by_its_size(http: httpx.Client) -> None:
    """200 MB of blanks in 200 KB: 413, as the plain body would be."""
    squeeze = zlib.compressobj(9, zlib.DEFLATED, 31)
    content = b"".join(squeeze.compress(b" " * 1_000_000) for _ in range(200)) + squeeze.flush()
    refused = http.post("/v1/embeddings", content=content, headers={**JSON, "Content-Encoding": "gzip"})
    assert (refused.status_code, refused.json()["error"]["code"]) == (413, "body_too_large")


@pytest.mark.requires("dialects")
@pytest.mark.parametrize(("path", "body", "field"), DIALECTS)
def test_a_byte_order_mark_is_no_fault(http: httpx.Client, path: str, body: dict[str, Any], field: str) -> None:
    """.NET and PowerShell write one in front of JSON."""
    answer = http.post(path, content=b"\xef\xbb\xbf" + orjson.dumps(body), headers=JSON)
    assert answer.status_code == 200, answer.text


def test_head_is_get_without_its_body(http: httpx.Client) -> None:
    """Load balancers and uptime checks ask that way."""
    for path in ("/", "/healthz", "/readyz", "/health", "/v1/models", "/metrics", "/v1/config"):
        got, head = http.get(path), http.head(path)
        assert (head.status_code, head.content) == (200, b""), path
        assert head.headers["content-type"] == got.headers["content-type"]
        assert int(head.headers["content-length"]) > 0
    assert http.head("/nowhere").status_code == 404
    assert http.head("/v1/embeddings").status_code == 405


def test_the_address_alone_says_where_to_go(http: httpx.Client) -> None:
    """GET / is what a load balancer asks by default, and a person who has no path."""
    links = ok(http.get("/"))["links"]
    assert {"ready", "models"} <= links.keys()
    for path in links.values():
        assert http.get(path).status_code == 200, path


def test_slashes_too_many_do_no_harm(http: httpx.Client) -> None:
    """A base URL that ends in a slash gives two; some clients add one at the end. Nothing is redirected."""
    for path in ("//v1/embeddings", "/v1//embeddings", "/v1/embeddings/", "//v1//embeddings//"):
        answer = http.post(f"{http.base_url}".rstrip("/") + path, json=BODY)
        assert ok(answer)["data"], path
    assert ok(http.get("/v1/models/"))["data"]


@pytest.mark.requires("dialects")
def test_a_base_url_that_is_nearly_right_is_told(http: httpx.Client) -> None:
    """The mistake is shown, in the shape that the clients of the path know."""
    for path, meant in [("/v1/v1/embeddings", "/v1/embeddings"), ("/embeddings", "/v1/embeddings")]:
        refused = http.post(path, json=BODY)
        assert refused.status_code == 404
        assert f"Did you mean {meant}?" in refused.json()["error"]["message"]
    assert "Did you mean /v2/embed?" in http.post("/v2/v2/embed", json={}).json()["message"]
    assert http.get("/v2/embed").json()["message"].endswith("it answers to POST.")


@pytest.mark.parametrize(
    "offer",
    [
        "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAAAAIAAAAA\r\n",
        "Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n",
        "connection: upgrade\r\nupgrade: h2c, websocket\r\n",
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
def test_an_offer_of_another_protocol_is_ignored(http: httpx.Client, offer: str, chunked: bool) -> None:
    """Java's HttpClient offers HTTP/2 with its first request, and some proxies add websocket to any."""
    body = orjson.dumps(BODY)
    length = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    sent = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body
    head = f"POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{offer}{length}\r\n\r\n"
    last = b"GET /readyz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"

    answer = exchange(http, head.encode() + sent + last)

    assert answer.startswith(b"HTTP/1.1 200 "), answer[:300]
    assert answer.count(b"HTTP/1.1 200 ") == 2
    assert b'"embedding"' in answer


@pytest.mark.parametrize(
    ("raw", "said"),
    [
        ("GET /v1/documents/ü HTTP/1.1\r\nHost: a\r\n\r\n".encode(), "percent-encoded"),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", "no HTTP method"),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "HTTP/2"),
        (b"CONNECT a:443 HTTP/1.1\r\nHost: a\r\n\r\n", "no proxy"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "not valid HTTP"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "not valid HTTP"),
    ],
)
def test_what_is_no_http_is_told_in_json(http: httpx.Client, raw: bytes, said: str) -> None:
    """400 with a sentence, and the connection is closed."""
    head, _, body = exchange(http, raw).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 "), head
    error = orjson.loads(body)["error"]
    assert said in error["message"]


@pytest.mark.parametrize("digits", [310, 4_301])
@pytest.mark.parametrize("more", ["", "Expect: 100-continue\r\n", "Origin: https://a.example\r\n"])
def test_numbers_of_thousands_of_digits(http: httpx.Client, digits: int, more: str) -> None:
    """A deadline or a length of that size is a number like any other, or refused as one."""
    body = orjson.dumps(BODY)
    for field in (f"X-Request-Timeout-Ms: {'9' * digits}", f"Content-Length: {'0' * digits}{len(body)}"):
        length = "" if field.startswith("Content-Length") else f"Content-Length: {len(body)}\r\n"
        head = (
            f"POST /v1/embeddings HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{length}{field}\r\n{more}"
        )
        probe = b"GET /readyz HTTP/1.1\r\nHost: a\r\n\r\n"
        answer = exchange(http, probe + head.encode() + b"Connection: close\r\n\r\n" + body)
        assert b"HTTP/1.1 500 " not in answer, answer
        assert answer.count(b"HTTP/1.1 200 ") == 2, answer
