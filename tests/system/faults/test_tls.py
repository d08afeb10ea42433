"""TLS as clients do it: handshakes that end, that never begin, and that are none."""

from __future__ import annotations

import socket
import ssl
import subprocess
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from tests.support.gateways import Gateway, wait_until
from tests.system.faults.conftest import Start

SILENT_CONNECTIONS = 50

pytestmark = [pytest.mark.gateway("pseudo"), pytest.mark.program("openssl")]


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """Return a certificate of 127.0.0.1 that signs itself, and its key."""
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    command += ["-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1"]
    command += ["-keyout", str(key), "-out", str(certificate)]
    subprocess.run(command, check=True, capture_output=True)  # noqa: S603
    return certificate, key


def serve(start: Start, certificate: tuple[Path, Path]) -> Gateway:
    """Start a gateway that serves HTTPS."""
    gateway = start("pseudo")
    gateway.front.kill()
    gateway.front.environ |= {"TLS_CERTFILE": str(certificate[0]), "TLS_KEYFILE": str(certificate[1])}
    gateway.front.launch()
    return gateway


def connect(gateway: Gateway) -> socket.socket:
    """Open a connection without a handshake."""
    address = urlsplit(gateway.url)
    return socket.create_connection((str(address.hostname), int(address.port or 0)), timeout=10)


def test_a_client_that_knows_the_certificate_is_served(start: Start, certificate: tuple[Path, Path]) -> None:
    """Nobody else is held up by connections that never begin their handshake, or that speak plain HTTP."""
    gateway = serve(start, certificate)
    url = gateway.url.replace("http:", "https:")
    trusted = ssl.create_default_context(cafile=str(certificate[0]))
    with httpx.Client(base_url=url, verify=trusted, trust_env=False) as http:
        wait_until(lambda: _answers(http), 30, "an answer over TLS")
        silent = [connect(gateway) for _ in range(SILENT_CONNECTIONS)]
        started_s = time.monotonic()
        assert http.post("/v1/embeddings", json={"input": "a text"}).status_code == 200
        assert http.get("/healthz").status_code == 200
        assert time.monotonic() - started_s < 5
        for connection in silent:
            connection.close()
        with connect(gateway) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\nHost: here\r\n\r\n")
            assert b"HTTP/1.1 200" not in plain.recv(1 << 16)
        with httpx.Client(base_url=url, trust_env=False) as stranger, pytest.raises(httpx.ConnectError):
            stranger.get("/healthz")
        assert http.get("/healthz").json()["status"] == "ok"
    assert "Traceback" not in gateway.front.log()


def _answers(http: httpx.Client) -> bool:
    try:
        return http.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
