"""Errors of the operating system in the middle of an ingest: a full disk, a broken one, too many open files."""

from __future__ import annotations

import re
import resource
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.gateways import Gateway, wait_until
from tests.support.ingest_client import client_of
from tests.system.faults.conftest import Start
from tests.system.faults.test_kill import numbered

DOCUMENTS = 2_000
FAULT_S = 1.5
# As strace names them: what a flush of the journal and of the store calls.
FLUSH_CALLS = "fsync,fdatasync,msync"

pytestmark = pytest.mark.gateway("pseudo")


@contextmanager
def limited(pid: int, limit: int, value: int) -> Iterator[None]:
    """Lower a limit of a process that runs, and put it back."""
    soft, hard = resource.prlimit(pid, limit)
    resource.prlimit(pid, limit, (value, hard))
    try:
        yield
    finally:
        resource.prlimit(pid, limit, (soft, hard))


@contextmanager
def failing(pid: int, calls: str, error: str) -> Iterator[None]:
    """Let system calls of a process that runs fail with an error."""
    command = ["strace", "-f", "-qq", "-o", "/dev/null", "-e", f"inject={calls}:error={error}", "-p", str(pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:  # noqa: S603
        try:
            wait_until(lambda: tracer.poll() is not None or _is_traced(pid), 10, "strace at work")
            if tracer.poll() is not None:
                pytest.skip("tracing is not permitted here")
            yield
        finally:
            tracer.send_signal(signal.SIGINT)


def _is_traced(pid: int) -> bool:
    tracer = re.search(r"TracerPid:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())
    return tracer is not None and tracer[1] != "0"


def check_after(gateway: Gateway, jobs: list[str], accepted: dict[str, str]) -> None:
    """Every job completes, and every document that was accepted is there, here and after a kill."""
    with client_of(gateway) as client:
        client.completed(jobs)
        assert client.http.get("/healthz").json()["document_count"] == len(accepted)
    gateway.front.kill()
    gateway.front.start()
    with client_of(gateway) as client:
        assert client.http.get("/healthz").json()["document_count"] == len(accepted)
        for name in [*accepted][:: len(accepted) // 50]:
            assert client.http.get(f"/v1/documents/{name}").json()["text"] == accepted[name]


def submit_for(gateway: Gateway, seconds: float, accepted: dict[str, str], jobs: list[str]) -> set[int]:
    """Ingest one document after the other for a while, on one connection. Returns the statuses of the answers."""
    statuses = set()
    deadline_s = time.monotonic() + seconds
    with gateway.client() as http:
        while time.monotonic() < deadline_s:
            name = f"late-{len(accepted)}"
            answer = http.post("/v1/ingest", json={"documents": [{"id": name, "text": f"text of {name}"}]})
            statuses.add(answer.status_code)
            if answer.status_code == 202:
                accepted[name] = f"text of {name}"
                jobs.append(answer.json()["job_id"])
            assert http.get("/healthz").status_code == 200
            time.sleep(0.02)
    return statuses


def test_files_that_cannot_grow(start: Start) -> None:
    """RLIMIT_FSIZE in the middle of an ingest: what is sent is refused, and what was accepted is written later."""
    gateway = start("pseudo", FLUSH_EVERY_S="0.1")
    accepted = numbered(DOCUMENTS)
    with client_of(gateway) as client:
        jobs = client.submit(accepted)
    with limited(gateway.front.pid, resource.RLIMIT_FSIZE, 0):
        statuses = submit_for(gateway, FAULT_S, accepted, jobs)

    assert statuses <= {503, 507}
    check_after(gateway, jobs, accepted)


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
@pytest.mark.parametrize(("calls", "error"), [(FLUSH_CALLS, "EIO"), (f"{FLUSH_CALLS},pwrite64,ftruncate", "ENOSPC")])
def test_a_disk_that_fails(start: Start, calls: str, error: str) -> None:
    """Flushes that fail in the middle of an ingest acknowledge nothing, and the documents are written again."""
    gateway = start("pseudo", FLUSH_EVERY_S="0.1")
    accepted = numbered(DOCUMENTS)
    with client_of(gateway) as client:
        jobs = client.submit(accepted)
    with failing(gateway.front.pid, calls, error):
        statuses = submit_for(gateway, FAULT_S, accepted, jobs)

    assert statuses <= {503, 507}
    check_after(gateway, jobs, accepted)


def test_too_many_open_files(start: Start) -> None:
    """EMFILE in the middle of an ingest fails no job; connections that are open are served, and new ones later."""
    gateway = start("pseudo", FLUSH_EVERY_S="0.1")
    accepted = numbered(DOCUMENTS)
    with client_of(gateway) as client:
        jobs = client.submit(accepted)
    with gateway.client() as kept:
        assert kept.get("/healthz").status_code == 200
        open_files = len([*Path(f"/proc/{gateway.front.pid}/fd").iterdir()])
        with limited(gateway.front.pid, resource.RLIMIT_NOFILE, open_files):
            deadline_s = time.monotonic() + FAULT_S
            while time.monotonic() < deadline_s:
                assert kept.get("/healthz").status_code == 200
                assert kept.post("/v1/search", json={"query": "document"}).status_code == 200
            with pytest.raises(httpx.TransportError), gateway.client(timeout_s=0.5) as fresh:
                fresh.get("/healthz")

    check_after(gateway, jobs, accepted)
