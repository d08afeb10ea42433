"""A path that is nearly a route's takes no one past a key's scopes or a closed page."""

from __future__ import annotations

import hashlib
from pathlib import Path

import httpx
import orjson
import pytest

from tests.support.gateways import Gateway
from tests.support.raw_http import connected
from tests.system.security.conftest import Start

pytestmark = pytest.mark.gateway("pseudo")

# Put behind a path: a line break in front of a query too, other control characters, and slashes.
ENDINGS = [
    "%0A",
    "%0a?x=1",
    "%0D",
    "%0D%0A",
    "%00",
    "%0B",
    "%0C",
    "%1C",
    "%85",
    "%E2%80%A8",
    "%20",
    "/",
    "//",
    "/%0A",
    ";",
    "?",
]
READER = "reader-key"


def status(gateway: Gateway, method: str, path: str, key: str = "", body: bytes = b"") -> int:
    """Return the status of a request with exactly this path."""
    key_field = f"Authorization: Bearer {key}\r\n" if key else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: a\r\n{key_field}Content-Length: {len(body)}\r\n\r\n"
    with connected(gateway) as client:
        client.sendall(head.encode() + body)
        return int(client.recv(100).split(b" ", 2)[1])


@pytest.fixture
def reader(tmp_path: Path) -> Path:
    """Return a file with one key, of the scope read."""
    file = tmp_path / "keys.yaml"
    digest = hashlib.sha256(READER.encode()).hexdigest()
    file.write_text(f"keys:\n  - {{name: reader, sha256: {digest}, scopes: [read]}}\n")
    return file


def writes() -> list[tuple[str, str, bytes]]:
    """Return a request for each kind of change."""
    documents = orjson.dumps({"documents": [{"id": "a", "text": "a text"}]})
    return [
        ("POST", "/v1/ingest", documents),
        ("POST", "/v1/jobs/1/retry", b""),
        ("DELETE", "/v1/jobs/1", b""),
        ("DELETE", "/v1/documents/a", b""),
        ("PUT", "/v1/collections/books", b'{"top_k": 3}'),
        ("DELETE", "/v1/collections/books", b""),
    ]


def test_a_key_of_the_scope_read_changes_nothing(start: Start, reader: Path) -> None:
    """Whatever stands behind the path of a write: 403, or 404 for what is no route."""
    gateway = start(API_KEYS_FILE=str(reader))

    let_in = [
        (method, path + ending, code)
        for method, path, body in writes()
        for ending in ["", *ENDINGS]
        if (code := status(gateway, method, path + ending, READER, body)) not in (403, 404, 405)
    ]

    assert not let_in


@pytest.mark.parametrize("access", ["off", "key"])
def test_closed_pages_stay_closed(start: Start, reader: Path, access: str) -> None:
    """METRICS_ACCESS and DOCS_ACCESS: no ending opens metrics, the docs, or the files of the docs."""
    gateway = start(METRICS_ACCESS=access, DOCS_ACCESS=access, API_KEYS_FILE=str(reader))
    paths = ["/metrics", "/docs", "/openapi.json", "/docs/swagger-ui.css", "/docs/swagger-ui-bundle.js"]

    opened = [
        path + ending
        for path in paths
        for ending in ["", *ENDINGS]
        for key in ("", READER if path == "/metrics" or access == "off" else "")
        for method in ("GET", "HEAD")
        if status(gateway, method, path + ending, key) < 400
    ]

    assert not opened


def test_a_document_id_may_hold_any_character(start: Start) -> None:
    """The path of a document ends where its id does: with a line break, a slash or a percent sign."""
    gateway = start()
    ids = ["a\n", "a/", "a//b", "\n", "%0A", "ü", "a/ingest", "a\r\nb"]
    with gateway.client() as http:
        documents = [{"id": name, "text": f"text {number}"} for number, name in enumerate(ids)]
        job = http.post("/v1/ingest", json={"documents": documents}).json()
        while http.get(f"/v1/jobs/{job['job_id']}").json()["status"] not in ("completed", "failed"):
            pass
        for number, name in enumerate(ids):
            quoted = "".join(f"%{byte:02X}" for byte in name.encode())
            found = http.get(f"/v1/documents/{quoted}")
            assert found.json().get("text") == f"text {number}", found.text


def test_the_scheme_of_a_key_may_have_any_case(start: Start) -> None:
    """`bearer` is `Bearer`; what is wrong with a header is said."""
    gateway = start(API_KEYS="a-key")

    def answer(**headers: str) -> httpx.Response:
        fields = {name.replace("_", "-"): value for name, value in headers.items()}
        return httpx.get(f"{gateway.url}/v1/models", headers=fields, trust_env=False)

    for scheme in ("Bearer", "bearer", "BEARER"):
        assert answer(Authorization=f"{scheme} a-key").status_code == 200
    for headers, said in [
        ({}, "This gateway needs a key"),
        ({"X_API_Key": "a-key"}, "x-api-key is not read"),
        ({"Authorization": "Bearer other"}, "This key is not known here"),
        ({"Authorization": "Basic YTpi"}, "has the scheme 'Basic'"),
    ]:
        refused = answer(**headers)
        assert refused.status_code == 401
        assert said in refused.json()["error"]["message"]


def test_web_pages_can_read_the_headers_of_an_answer(start: Start) -> None:
    """With CORS_ORIGINS: when to come again, and the id of the request."""
    gateway = start(CORS_ORIGINS="https://docs.example")
    answer = httpx.get(f"{gateway.url}/v1/models", headers={"Origin": "https://docs.example"}, trust_env=False)

    exposed = {name.strip().lower() for name in answer.headers["access-control-expose-headers"].split(",")}
    assert {"retry-after", "x-request-id", "server-timing"} <= exposed


def test_the_address_alone_needs_no_key_and_embeds_nothing(start: Start) -> None:
    """GET / is for load balancers; POST / is a dialect's, and needs a key like any other route."""
    gateway = start(API_KEYS="a-key")
    body = b'{"inputs": "a text"}'
    assert [status(gateway, method, "/") for method in ("GET", "HEAD")] == [200, 200]
    assert status(gateway, "POST", "/", body=body) == 401
    assert status(gateway, "POST", "//", body=body) == 401
    assert status(gateway, "POST", "/", "a-key", body) == 200
