"""Real clients and a real proxy in front: a JDK, curl, nginx, and HTTP/1.0."""

from __future__ import annotations

import gzip
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import orjson
import pytest

from bench.targets.ports import free_port
from tests.support.gateways import Gateway, wait_until
from tests.support.raw_http import answer, connected
from tests.system.http.conftest import Start

pytestmark = pytest.mark.gateway("pseudo")

BODY = {"input": ["The Danube flows through ten countries."]}
NGINX = """
worker_processes 1; daemon off; pid {folder}/pid; error_log {folder}/error.log;
events {{ worker_connections 64; }}
http {{
  access_log off;
  client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
  uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
  upstream gateway {{ server {address}; keepalive 4; }}
  server {{
    listen 127.0.0.1:{port};
    location /old/ {{ proxy_pass http://{address}/; }}
    location / {{
      proxy_pass http://gateway; proxy_http_version 1.1;
      proxy_set_header Connection "upgrade"; proxy_set_header Upgrade $http_upgrade;
    }}
    location /kept/ {{ proxy_pass http://gateway/; proxy_http_version 1.1; proxy_set_header Connection ""; }}
  }}
}}
"""


def run(*command: str) -> str:
    """Return what a program prints. Raises CalledProcessError."""
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout  # noqa: S603


def assert_quiet(gateway: Gateway) -> None:
    """No warning and no traceback stands in the log."""
    log = gateway.front.logs[-1].read_text()
    assert "WARNING" not in log, log
    assert "WebSocket" not in log
    assert "Traceback" not in log


@pytest.mark.program("java")
def test_the_client_of_the_jdk_works_as_it_is(start: Start) -> None:
    """Its offer of h2c, a chunked body and Expect: 100-continue: 200 for each."""
    gateway = start()
    java = shutil.which("java") or ""
    lines = run(java, str(Path(__file__).parent / "JdkClient.java"), gateway.url).splitlines()

    assert [line.split()[:2] for line in lines] == [["200", "HTTP_1_1"]] * 5
    assert all(int(line.split()[2]) > 100 for line in lines[:4])
    assert_quiet(gateway)


@pytest.mark.program("curl")
@pytest.mark.parametrize(
    "options",
    [
        ["--http2"],
        ["--http1.0"],
        ["--compressed"],
        ["-H", "Expect: 100-continue"],
        ["-H", "Transfer-Encoding: chunked"],
    ],
)
def test_curl_works_with_its_options(start: Start, options: list[str]) -> None:
    """Each way in which curl speaks HTTP/1 gets the vector."""
    gateway = start()
    curl = shutil.which("curl") or ""
    json = ["-H", "Content-Type: application/json", "-d", orjson.dumps(BODY).decode()]
    raw = run(curl, "-sSf", *options, *json, f"{gateway.url}/v1/embeddings")
    assert len(orjson.loads(raw)["data"]) == 1
    assert_quiet(gateway)


@pytest.fixture
def proxied(start: Start, tmp_path: Path) -> Iterator[tuple[Gateway, str]]:
    """Yield a gateway and the URL of a real nginx in front of it."""
    gateway, port = start(KEEP_ALIVE_S="2"), free_port()
    address = gateway.url.removeprefix("http://")
    file = tmp_path / "nginx.conf"
    file.write_text(NGINX.format(folder=tmp_path, port=port, address=address))
    command = [shutil.which("nginx") or "", "-p", str(tmp_path), "-c", str(file), "-e", str(tmp_path / "error.log")]
    running = subprocess.Popen(command, stderr=subprocess.DEVNULL)  # noqa: S603
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            return httpx.get(f"{url}/readyz", trust_env=False).status_code == 200
        except httpx.TransportError:
            return False

    try:
        wait_until(answers, 30, "nginx")
        yield gateway, url
    finally:
        running.terminate()
        running.wait()


@pytest.mark.program("nginx")
def test_behind_nginx_every_request_is_served(proxied: tuple[Gateway, str]) -> None:
    """By HTTP/1.0, with an upgrade that nginx adds, and over kept connections that have been idle too long."""
    gateway, url = proxied
    with httpx.Client(base_url=url, trust_env=False, timeout=20) as http:
        for prefix in ("/old", "", "/kept"):
            for upgrade in ({}, {"Upgrade": "websocket"}, {"Upgrade": "h2c"}):
                found = http.post(f"{prefix}/v1/embeddings", json=BODY, headers=upgrade)
                assert found.status_code == 200, (prefix, upgrade, found.text)
            packed = gzip.compress(orjson.dumps(BODY))
            headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
            assert http.post(f"{prefix}/v1/embeddings", content=packed, headers=headers).status_code == 200
        assert http.head("/kept/readyz").status_code == 200
        assert http.get("/kept//v1/models/").status_code == 200
    assert_quiet(gateway)


def test_http_1_0_is_answered_and_closed(start: Start) -> None:
    """Old proxies and health checks send no Host and wait for the end of the connection."""
    gateway = start()
    body = orjson.dumps(BODY)
    for keep in (b"", b"Connection: keep-alive\r\n"):
        with connected(gateway) as client:
            head = b"POST /v1/embeddings HTTP/1.0\r\n%bContent-Length: %d\r\n\r\n" % (keep, len(body))
            client.sendall(head + body)
            status, raw = answer(client)
            assert (status, b"connection: close" in raw) == (200, True)
            assert b"transfer-encoding" not in raw


def test_a_client_that_hangs_up_while_it_sends_is_no_error(start: Start) -> None:
    """An ingest or a collection that is cut in the middle of its body leaves no traceback."""
    gateway = start(LOG_LEVEL="debug")
    for method, path in [("POST", "/v1/ingest"), ("POST", "/v1/embeddings"), ("PUT", "/v1/collections/books")]:
        with connected(gateway) as client:
            client.sendall(f"{method} {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{{".encode())
        wait_until(lambda path=path: f"{path}: 499" in gateway.front.logs[-1].read_text(), 20, f"499 of {path}")  # type: ignore[misc]
    assert "Traceback" not in gateway.front.logs[-1].read_text()


def test_a_port_that_is_taken_is_told(start: Start) -> None:
    """One line that names the setting, and the exit code of wrong settings."""
    first, second = start(), start()
    second.front.kill()
    second.front.environ["PORT"] = port = first.url.rpartition(":")[2]
    second.front.launch()
    assert second.front.popen is not None
    assert second.front.popen.wait(30) == 2
    assert second.front.log().strip().endswith(f"PORT={port} is taken; choose another.")
