"""Snapshots that a gateway makes while it serves."""

from __future__ import annotations

import itertools
import resource
import shutil
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from gateways.core.persistence import data_dir
from tests.support.gateways import Gateway, describe, wait_until
from tests.support.ingest_client import client_of
from tests.system.faults.conftest import Start
from tests.system.faults.test_data_dir import folder_of, run
from tests.system.faults.test_kill import numbered
from tests.system.faults.test_system_errors import limited

ROUTE = "/v1/snapshot"
TEXT = "a text that its owner wants to be forgotten"


class Writer(threading.Thread):
    """Ingests a document after the other, and deletes every third one, until it is stopped."""

    def __init__(self, gateway: Gateway) -> None:
        super().__init__()
        self._gateway = gateway
        self.stopped = threading.Event()
        self.accepted: list[str] = []
        self.deleted: list[str] = []
        self.search_statuses: set[int] = set()

    def run(self) -> None:
        """Write and search."""
        with self._gateway.client() as http:
            for number in itertools.count():
                if self.stopped.is_set():
                    return
                name = f"written-{number}"
                document = {"id": name, "text": f"text of {name}"}
                assert http.post("/v1/ingest", json={"documents": [document]}).status_code == 202
                self.accepted.append(name)
                if number % 3 == 2:
                    gone = f"written-{number - 1}"
                    assert http.delete(f"/v1/documents/{gone}").status_code == 200
                    self.deleted.append(gone)
                self.search_statuses.add(http.post("/v1/search", json={"query": name}).status_code)


@contextmanager
def writing(gateway: Gateway) -> Iterator[Writer]:
    """Yield a writer that is at work."""
    writer = Writer(gateway)
    writer.start()
    try:
        wait_until(lambda: len(writer.deleted) > 3, 30, "the first deletions")
        yield writer
    finally:
        writer.stopped.set()
        writer.join()


@pytest.mark.gateway("pseudo")
@pytest.mark.parametrize("round_number", range(2))
def test_a_snapshot_holds_all_that_was_acknowledged(start: Start, tmp_path: Path, round_number: int) -> None:
    """Restored into a new folder: what was accepted before is there, what was deleted before is not."""
    gateway = start("pseudo", FLUSH_EVERY_S="0.1")
    file = tmp_path / "monday.tar.gz"
    with client_of(gateway) as client:
        waiting = client.submit(numbered(1_500))
    with writing(gateway) as writer:
        time.sleep(0.1 * round_number)
        deleted, accepted = {*writer.deleted}, {*writer.accepted}
        saved = run("snapshot", gateway, "save", str(file), "--url", gateway.url)
        again = run("snapshot", gateway, "save", str(file), "--url", gateway.url)
    gateway.kill()
    shutil.rmtree(folder_of(gateway))
    restored = run("snapshot", gateway, "restore", str(file))
    gateway.front.start()

    assert saved.returncode == 0, saved.stderr
    assert (again.returncode, "is there already" in again.stderr) == (1, True)
    assert restored.returncode == 0, restored.stderr
    assert writer.search_statuses == {200}
    deleted_later = {*writer.deleted} - deleted
    with client_of(gateway) as client:
        client.completed(waiting)
        client.completed([job["job_id"] for job in client.http.get("/v1/jobs?limit=100").json()["data"]])
        for name in accepted | deleted:
            answer = client.http.get(f"/v1/documents/{name}")
            if name in deleted:
                assert answer.status_code == 404, f"{name} was deleted before the snapshot"
            elif name not in deleted_later:
                assert answer.json()["text"] == f"text of {name}"
        assert client.http.get("/healthz").json()["document_count"] >= 1_500 + len(accepted - {*writer.deleted})
        assert client.http.get(f"{gateway.url}/v1/config").json()["damaged_collections"] == {}


@pytest.mark.gateway("pseudo")
def test_a_snapshot_holds_nothing_that_was_deleted(start: Start, tmp_path: Path) -> None:
    """The journal of the snapshot is compacted first."""
    gateway = start("pseudo")
    file, unpacked = tmp_path / "monday.tar.gz", tmp_path / "unpacked"
    with client_of(gateway) as client:
        client.completed(client.submit({"forgotten": TEXT, "kept": "a text to keep"}))
        assert client.http.delete("/v1/documents/forgotten").status_code == 200
        metrics = client.http.get("/metrics").text

    assert run("snapshot", gateway, "save", str(file), "--url", gateway.url).returncode == 0

    shutil.unpack_archive(file, unpacked)
    assert TEXT.encode() not in (unpacked / "data" / "jobs.sqlite").read_bytes()
    with client_of(gateway) as client:
        assert "gateway_last_snapshot_timestamp_seconds 0.0" in metrics
        assert "gateway_last_snapshot_timestamp_seconds 0.0" not in client.http.get("/metrics").text
    assert not (folder_of(gateway) / data_dir.SNAPSHOT).exists()


@pytest.mark.gateway("pseudo")
def test_snapshots_are_made_one_at_a_time(start: Start) -> None:
    """A request meanwhile is a 409, and a client that hangs up blocks nobody."""
    gateway = start("pseudo")
    with client_of(gateway) as client:
        client.completed(client.submit(numbered(200)))
    with ThreadPoolExecutor() as pool, gateway.client() as http, gateway.client() as other:
        assert other.get("/healthz").status_code == 200  # the connection of the second request is open
        sent = pool.submit(http.post, ROUTE)
        wait_until((folder_of(gateway) / data_dir.SNAPSHOT).exists, 10, "the beginning of a snapshot")
        second = other.post(ROUTE)
        first = sent.result()
    with pytest.raises(httpx.TimeoutException), gateway.client(timeout_s=0.02) as http:
        http.post(ROUTE)

    assert (first.status_code, second.status_code) == (200, 409)
    assert first.headers["content-type"] == "application/gzip"
    assert second.json()["error"]["code"] == "snapshot_busy"
    with gateway.client() as http:
        wait_until(lambda: http.post(ROUTE).status_code == 200, 30, "a snapshot after a client that hung up")


@pytest.mark.gateway("pseudo")
def test_a_kill_while_a_snapshot_is_made_leaves_nothing(start: Start) -> None:
    """The next start removes the half of it, and serves every document."""
    gateway = start("pseudo")
    texts = numbered(200)
    with client_of(gateway) as client:
        client.completed(client.submit(texts))
    draft = folder_of(gateway) / data_dir.SNAPSHOT
    with ThreadPoolExecutor() as pool, gateway.client() as http:
        answer = pool.submit(http.post, ROUTE)
        wait_until(draft.exists, 10, "the beginning of a snapshot")
        gateway.kill()
        with pytest.raises(httpx.TransportError):
            answer.result()
    gateway.front.start()

    assert not draft.exists()
    with client_of(gateway) as client:
        client.holds_exactly(texts)


@pytest.mark.gateway("pseudo")
def test_a_disk_that_fills_up_meanwhile_is_told(start: Start) -> None:
    """The answer is a 507 and not a fault of the gateway, nothing is left, and the next snapshot is made."""
    gateway = start("pseudo")
    backups = folder_of(gateway) / "snapshot"
    backups.mkdir()
    (backups / "monday.tar.gz").write_text("a backup of the operator")
    with client_of(gateway) as client:
        client.completed(client.submit(numbered(20)))
        # The journal is smaller than this, and each file of a collection is larger.
        with limited(gateway.front.pid, resource.RLIMIT_FSIZE, 8 << 20):
            full = client.http.post(ROUTE)
        left = (folder_of(gateway) / data_dir.SNAPSHOT).exists()
        again = client.http.post(ROUTE)
    gateway.front.kill()
    gateway.front.start()

    assert (full.status_code, full.json()["error"]["code"]) == (507, "no_space"), full.text
    assert not left
    assert again.status_code == 200
    assert (backups / "monday.tar.gz").is_file()


@pytest.mark.gateway("pseudo")
def test_refusals_of_a_snapshot_say_why(start: Start, tmp_path: Path) -> None:
    """No room, data elsewhere, a missing key, and an address without a gateway."""
    full = start("pseudo", MIN_FREE_MB=str(10**9), API_KEYS="secret")
    elsewhere = describe("pseudo", tmp_path / "elsewhere", python=Path(sys.executable), STORE="qdrant")
    file = str(tmp_path / "monday.tar.gz")

    keyless = run("snapshot", full, "save", file, "--url", full.url)
    full.front.environ["GATEWAY_KEY"] = "secret"
    no_room = run("snapshot", full, "save", file, "--url", full.url)
    try:
        elsewhere.start()
        database = run("snapshot", elsewhere, "save", file, "--url", elsewhere.url)
    finally:
        elsewhere.kill()
    full.kill()
    absent = run("snapshot", full, "save", file, "--url", full.url)

    for refused, reason in (
        (keyless, "answered 401"),
        (no_room, "answered 507"),
        (database, "answered 409: STORE=qdrant and JOBS=sqlite keep data outside DATA_DIR"),
        (absent, "sent no snapshot"),
    ):
        assert refused.returncode == 1
        assert reason in refused.stderr
    assert [*tmp_path.glob("*monday*")] == []
