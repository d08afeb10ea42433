"""DATA_DIR: full, unwritable, damaged, moved; and what is on disk before a 202."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tarfile
from io import BytesIO
from pathlib import Path

import pytest

from bench import paths
from tests.support.gateways import Gateway, StartFailed, wait_until
from tests.support.ingest_client import client_of
from tests.system.faults.conftest import Start
from tests.system.faults.test_kill import numbered

MORE_THAN_ANY_DISK_MB = str(10**9)
FLUSHED = re.compile(r"(fsync|fdatasync)\(\d+<([^>]*)>\)")


def run(verb: str, gateway: Gateway, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a verb of gateways.admin on a gateway's folder, as an operator would."""
    command = [sys.executable, "-m", "gateways.admin", verb, *arguments]
    environ = os.environ | gateway.front.environ
    return subprocess.run(command, cwd=paths.ROOT, env=environ, capture_output=True, text=True, check=False)  # noqa: S603


def folder_of(gateway: Gateway) -> Path:
    """Return its DATA_DIR."""
    return Path(gateway.front.environ["DATA_DIR"])


@pytest.mark.gateway("pseudo")
def test_no_room_is_told_and_what_was_accepted_waits(start: Start) -> None:
    """Below MIN_FREE_MB an ingest is a 507; a job accepted before goes on when there is room; searches go on."""
    gateway = start("pseudo")
    texts = numbered(2_000)
    with client_of(gateway) as client:
        jobs = client.submit(texts)
    gateway.front.kill()
    gateway.front.environ["MIN_FREE_MB"] = MORE_THAN_ANY_DISK_MB
    gateway.front.start()

    with client_of(gateway) as client:
        refused = client.http.post("/v1/ingest", json={"documents": [{"id": "z", "text": "one more"}]})
        search_response = client.http.post("/v1/search", json={"query": "document"})
        wait_until(lambda: "MIN_FREE_MB" in gateway.front.log(), 30, "a job that waits")
        waiting = client.job(jobs[-1])

    assert refused.status_code == 507
    assert refused.json()["error"]["code"] == "no_space"
    assert "MIN_FREE_MB" in refused.json()["error"]["message"]
    assert search_response.status_code == 200
    assert waiting["finished_at"] is None
    gateway.front.kill()
    del gateway.front.environ["MIN_FREE_MB"]
    gateway.front.start()
    with client_of(gateway) as client:
        client.completed(jobs)
        assert client.http.get("/healthz").json()["document_count"] == len(texts)


@pytest.mark.gateway("pseudo")
def test_a_journal_that_cannot_be_written_is_told(start: Start) -> None:
    """503 and nothing accepted while another process holds the journal; then it serves as before."""
    gateway = start("pseudo")
    hold = "import sqlite3, sys, time; c = sqlite3.connect(sys.argv[1], isolation_level=None); "
    hold += "c.execute('BEGIN EXCLUSIVE'); print('held', flush=True); time.sleep(60)"
    journal = str(folder_of(gateway) / "jobs.sqlite")
    command = [sys.executable, "-c", hold, journal]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:  # noqa: S603
        try:
            assert holder.stdout
            assert holder.stdout.readline() == b"held\n"
            with client_of(gateway) as client:
                refused = client.http.post("/v1/ingest", json={"documents": [{"id": "a", "text": "a text"}]})
        finally:
            holder.kill()

    assert refused.status_code == 503
    assert refused.json()["error"]["code"] == "journal_unwritable"
    assert int(refused.headers["retry-after"]) >= 1
    with client_of(gateway) as client:
        client.completed(client.submit({"a": "a text"}))
        client.holds_exactly({"a": "a text"})


@pytest.mark.gateway("pseudo")
def test_a_folder_that_cannot_be_written_ends_the_start(start: Start) -> None:
    """One line that names it, and an exit code other than 0."""
    gateway = start("pseudo")
    gateway.front.kill()
    gateway.front.environ["DATA_DIR"] = "/proc/nowhere"
    gateway.front.launch()
    assert gateway.front.popen is not None

    assert gateway.front.popen.wait(30) != 0
    assert "DATA_DIR=/proc/nowhere cannot be written" in gateway.front.log()


@pytest.mark.gateway("pseudo")
def test_the_store_is_built_anew_from_the_journal(start: Start) -> None:
    """Vectors all gone: `gateways.admin reindex` brings back what was there, replaced, deleted, cut and profiled."""
    gateway = start("pseudo")
    texts = numbered(300)
    long = "\n\n".join(f"Part {n} is about word{n * 7919 % 1009}. It ends here." for n in range(12))
    with client_of(gateway) as client:
        http = client.http
        client.completed(client.submit(texts))
        client.completed(client.submit({"d-3": "what replaced the third"}))
        assert http.delete("/v1/documents/d-7").status_code == 200
        profile = http.put("/v1/collections/books", json={"top_k": 3, "chunk": {"max_tokens": 24}}).json()
        for name in ("books", "dropped"):
            body = {"documents": [{"id": "long", "text": long, "metadata": {"year": 2026}}], "collection": name}
            client.completed([http.post("/v1/ingest", json=body).json()["job_id"]])
        assert http.delete("/v1/collections/dropped").status_code == 200
        before = http.get("/v1/documents/long?collection=books").json()
    busy = run("reindex", gateway, "--gateway", "pseudo")
    gateway.front.kill()
    shutil.rmtree(folder_of(gateway) / "vectors")

    done = run("reindex", gateway, "--gateway", "pseudo")

    assert busy.returncode == 1
    assert "nothing was changed: DATA_DIR is served by process" in busy.stderr
    assert done.returncode == 0, done.stderr
    gateway.front.start()
    expected = {name: text for name, text in texts.items() if name != "d-7"} | {"d-3": "what replaced the third"}
    with client_of(gateway) as client:
        assert client.http.get("/v1/collections/books").json() == profile | {"document_count": 1}
        assert client.http.get("/v1/documents/long?collection=books").json() == before
        assert client.http.get("/v1/collections/dropped").status_code == 404
        assert client.http.get("/v1/collections/default").json()["document_count"] == len(expected)
        for name in ("d-0", "d-3", "d-299"):
            assert client.search(expected[name], 1) == [name]
        assert client.http.get("/v1/documents/d-7").status_code == 404


def save_twenty(gateway: Gateway, folder: Path) -> Path:
    """Ingest twenty documents, end the gateway, and return its snapshot."""
    with client_of(gateway) as client:
        client.completed(client.submit(numbered(20)))
    gateway.front.kill()
    file = folder / "monday.tar.gz"
    saved = run("snapshot", gateway, "save", str(file))
    assert saved.returncode == 0, saved.stderr
    return file


@pytest.mark.gateway("pseudo")
def test_a_snapshot_is_put_back(start: Start, tmp_path: Path) -> None:
    """Saved, everything gone, restored: the same documents, and a job that was under way goes on."""
    gateway = start("pseudo")
    texts = numbered(1_500)
    with client_of(gateway) as client:
        jobs = client.submit(texts)
    file = str(tmp_path / "monday.tar.gz")
    busy = run("snapshot", gateway, "save", file)
    gateway.front.kill()

    saved = run("snapshot", gateway, "save", file)
    in_the_way = run("snapshot", gateway, "restore", file)
    shutil.rmtree(folder_of(gateway))
    restored = run("snapshot", gateway, "restore", file)

    assert busy.returncode == 1
    assert "is served by process" in busy.stderr
    assert saved.returncode == 0, saved.stderr
    assert in_the_way.returncode == 1
    assert "is not empty" in in_the_way.stderr
    assert restored.returncode == 0, restored.stderr
    gateway.front.start()
    with client_of(gateway) as client:
        client.completed(jobs)
        assert client.http.get("/healthz").json()["document_count"] == len(texts)


@pytest.mark.gateway("pseudo")
def test_a_damaged_snapshot_is_not_put_in_place(start: Start, tmp_path: Path) -> None:
    """Not one byte of it: the folder stays empty, and the message names the file."""
    gateway = start("pseudo")
    file = save_twenty(gateway, tmp_path)
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 0xFF
    file.write_bytes(bytes(content))
    shutil.rmtree(folder_of(gateway))

    refused = run("snapshot", gateway, "restore", str(file))

    assert refused.returncode == 1
    assert "restore:" in refused.stderr
    assert not (folder_of(gateway) / "jobs.sqlite").exists()
    assert not (folder_of(gateway) / "vectors").exists()


@pytest.mark.gateway("pseudo")
def test_an_interrupted_restore_is_finished_by_the_next(start: Start, tmp_path: Path) -> None:
    """A gateway refuses to start on a half of a snapshot; then the second restore completes the folder."""
    gateway = start("pseudo")
    file = str(save_twenty(gateway, tmp_path))
    folder = folder_of(gateway)
    # What a kill between the move of the vectors and that of the journal leaves.
    (folder / "restored").mkdir()
    for path in folder.glob("jobs.sqlite*"):
        path.rename(folder / "restored" / path.name)

    with pytest.raises(StartFailed, match="restore was interrupted"):
        gateway.front.start()
    refused = run("snapshot", gateway, "save", str(tmp_path / "tuesday.tar.gz"))
    finished = run("snapshot", gateway, "restore", file)

    assert refused.returncode == 1
    assert finished.returncode == 0, finished.stderr
    assert not (folder / "restored").exists()
    gateway.front.start()
    with client_of(gateway) as client:
        assert client.http.get("/healthz").json()["document_count"] == 20


@pytest.mark.gateway("pseudo")
@pytest.mark.parametrize(
    ("name", "place"), [("../outside", "nothing"), ("data/unlisted", "nothing"), ("snapshot.json", "")]
)
def test_a_file_that_was_not_saved_is_not_restored(start: Start, tmp_path: Path, name: str, place: str) -> None:
    """A snapshot with one file more, or one that leaves the folder, is refused whole."""
    gateway = start("pseudo")
    file, changed = save_twenty(gateway, tmp_path), tmp_path / "changed.tar.gz"
    shutil.rmtree(folder_of(gateway))
    with tarfile.open(file) as old, tarfile.open(changed, "w:gz") as new:
        for member in old:
            new.addfile(member, old.extractfile(member))
        more = tarfile.TarInfo(name)
        more.size = len(place)
        new.addfile(more, BytesIO(place.encode()))

    refused = run("snapshot", gateway, "restore", str(changed))

    assert refused.returncode == 1
    assert f"{name} is not one of the files that were saved" in refused.stderr
    assert not (folder_of(gateway) / "jobs.sqlite").exists()


@pytest.mark.gateway("pseudo")
@pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")
def test_the_journal_is_flushed_before_the_202(start: Start, tmp_path: Path) -> None:
    """As the kernel sees it: between the request and its 202 the journal's log is flushed to the disk."""
    gateway = start("pseudo")
    trace = tmp_path / "trace"
    assert gateway.front.popen is not None
    calls = "trace=fsync,fdatasync,write,writev,sendto,sendmsg"
    command = ["strace", "-f", "-y", "-s", "64", "-e", calls, "-o", str(trace), "-p", str(gateway.front.popen.pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:  # noqa: S603
        try:
            assert tracer.stderr
            if b"not permitted" in tracer.stderr.readline():
                pytest.skip("tracing is not permitted here")
            with client_of(gateway) as client:
                accepted = client.http.post("/v1/ingest", json={"documents": [{"id": "a", "text": "a text"}]})
            assert accepted.status_code == 202
            wait_until(lambda: "HTTP/1.1 202" in trace.read_text(), 10, "the 202 in the trace")
        finally:
            tracer.send_signal(signal.SIGINT)

    before = trace.read_text().partition("HTTP/1.1 202")[0]
    flushed = [Path(name).name for _, name in FLUSHED.findall(before)]
    assert "jobs.sqlite-wal" in flushed
