"""Behind the balancer of `docker compose --profile scale`: gateways are killed one after the other, under load."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import ClassVar

import httpx
import pytest

from bench.targets.ports import free_port
from tests.support.gateways import ROOT, Gateway, wait_until

HAPROXY = shutil.which("haproxy") or ""
CLIENTS = 8
ROUNDS = 2
RETRY_S = 0.1  # a client that is told 503 waits, or its 503 would count how fast it asks
PAUSE_S = 2


@pytest.fixture
def balancer(two: list[Gateway], tmp_path: Path) -> Iterator[str]:
    """Yield the URL of a balancer in front of two gateways."""
    with balance([gateway.url.removeprefix("http://") for gateway in two], tmp_path) as url:
        yield url


@contextmanager
def balance(addresses: list[str], tmp_path: Path) -> Iterator[str]:
    """Yield the URL of a real HAProxy with our configuration, these addresses being the two gateways."""
    port = free_port()
    config = (ROOT / "deploy/scale/haproxy.cfg").read_text().replace("bind :8000", f"bind 127.0.0.1:{port}")
    for number, address in enumerate(addresses, 1):
        assert f"gateway-{number}:8000" in config
        config = config.replace(f"gateway-{number}:8000", address)
    file = tmp_path / "haproxy.cfg"
    file.write_text(config)
    with (tmp_path / "haproxy.log").open("wb") as log:
        running = subprocess.Popen([HAPROXY, "-db", "-f", str(file)], stdout=log, stderr=log)  # noqa: S603
    url = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: answers(url) == 200, 30, "the balancer")
        yield url
    finally:
        running.kill()
        running.wait()


def answers(url: str) -> int:
    """Return the status of the balancer's answer, 0 where there is none."""
    try:
        return httpx.get(f"{url}/readyz", trust_env=False).status_code
    except httpx.TransportError:
        return 0


@pytest.mark.program("haproxy")
def test_a_rolling_kill_loses_no_request(balancer: str, two: list[Gateway]) -> None:
    """
    Whoever is killed, each request is answered, or told 503; what was accepted is found at the end.

    An answer that is on its way when its gateway is killed may be cut after its head: the balancer cannot ask again.
    """
    stop = threading.Event()
    numbers = count()
    statuses: Counter[int] = Counter()
    reasons: Counter[str] = Counter()
    cut: list[httpx.RemoteProtocolError] = []
    jobs: list[tuple[str, str]] = []

    def work(_: int) -> None:
        with httpx.Client(base_url=balancer, timeout=60, trust_env=False) as http:
            while not stop.is_set():
                number = next(numbers)
                document = {"id": f"d{number}", "text": f"text number {number}"}
                try:
                    if number % 10:
                        response = http.post("/v1/search", json={"query": f"question {number}"})
                    else:
                        # The balancer sends an ingest twice only if it has a key.
                        once = {"Idempotency-Key": f"ingest-{number}"}
                        response = http.post("/v1/ingest", json={"documents": [document]}, headers=once)
                except httpx.RemoteProtocolError as error:
                    cut.append(error)
                    continue
                statuses[response.status_code] += 1
                if response.status_code == 503:
                    reasons[response.text] += 1
                    time.sleep(RETRY_S)
                if response.status_code == 202:
                    jobs.append((response.json()["job_id"], document["id"]))

    with ThreadPoolExecutor(CLIENTS) as pool:
        working = [pool.submit(work, number) for number in range(CLIENTS)]
        try:
            for gateway in two * ROUNDS:
                wait_until(lambda: all(answers(replica.url) == 200 for replica in two), 60, "both gateways")
                before = sum(statuses.values())
                assert not any(future.done() for future in working), [
                    future.exception() for future in working if future.done()
                ]
                wait_until(lambda before=before: sum(statuses.values()) > before + 200, 60, "some load")  # type: ignore[misc]
                gateway.kill()
                gateway.start()
        finally:
            stop.set()
    for future in working:
        future.result()
    assert set(statuses) <= {200, 202, 503}, statuses
    assert statuses[200] > 10 * statuses[503], reasons
    assert len(cut) <= len(two) * ROUNDS, cut
    assert all("incomplete" in str(error) or "without sending complete message body" in str(error) for error in cut)
    with httpx.Client(base_url=balancer, timeout=60, trust_env=False) as http:
        for job, document in jobs:
            wait_until(lambda job=job: http.get(f"/v1/jobs/{job}").json()["finished_at"], 60, f"job {job}")  # type: ignore[misc]
            assert http.get(f"/v1/documents/{document}").status_code == 200


@pytest.mark.program("haproxy")
def test_the_last_gateway_may_answer_its_probe_late(balancer: str, two: list[Gateway]) -> None:
    """With the other one dead, a gateway that stands still for two seconds is waited for, not taken out."""
    dead, slow = two
    dead.kill()
    with httpx.Client(base_url=balancer, timeout=60, trust_env=False) as http, ThreadPoolExecutor(1) as pool:
        assert http.post("/v1/search", json={"query": "a first question"}).status_code == 200
        os.kill(slow.front.pid, signal.SIGSTOP)
        try:
            time.sleep(PAUSE_S)
            late = pool.submit(http.post, "/v1/search", json={"query": "a question during the pause"})
            time.sleep(PAUSE_S / 10)
        finally:
            os.kill(slow.front.pid, signal.SIGCONT)
        assert late.result().status_code == 200


class HangUp(BaseHTTPRequestHandler):
    """A gateway that is ready, and that dies of each POST without an answer; `posts` holds their paths."""

    posts: ClassVar[list[str]] = []

    def do_GET(self) -> None:
        """Be ready."""
        self.send_response(200)
        self.end_headers()

    def do_POST(self) -> None:
        """Read the request and hang up."""
        self.rfile.read(int(self.headers["Content-Length"]))
        self.posts.append(self.path)

    def log_message(self, *_: object) -> None:
        """Write nothing."""


@pytest.fixture
def dying(tmp_path: Path) -> Iterator[str]:
    """Yield the URL of a balancer in front of two servers that hang up on each POST."""
    HangUp.posts.clear()
    servers = [ThreadingHTTPServer(("127.0.0.1", 0), HangUp) for _ in range(2)]
    for server in servers:
        threading.Thread(target=server.serve_forever).start()
    try:
        with balance([f"127.0.0.1:{server.server_address[1]}" for server in servers], tmp_path) as url:
            yield url
    finally:
        for server in servers:
            server.shutdown()
            server.server_close()


@pytest.mark.program("haproxy")
@pytest.mark.parametrize(
    ("path", "headers", "sent"),
    [("/v1/ingest", {}, 1), ("/v1/ingest", {"Idempotency-Key": "a"}, 4), ("/v1/search", {}, 4)],
)
def test_an_ingest_without_a_key_is_not_sent_twice(dying: str, path: str, headers: dict[str, str], sent: int) -> None:
    """It may have been accepted by the gateway that died; the client is told 502, and decides."""
    assert httpx.post(dying + path, json={}, headers=headers, trust_env=False).status_code == 502
    assert HangUp.posts == [path] * sent


@pytest.mark.program("haproxy")
def test_a_request_that_drips_is_cut_off_by_the_balancer(dying: str) -> None:
    """408 after 10 s, long before the 90 s that an idle client has."""
    port = int(dying.rpartition(":")[2])
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(b"POST /v1/search HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n{")
        begun_s = time.monotonic()
        assert client.recv(1 << 16).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - begun_s < 15
