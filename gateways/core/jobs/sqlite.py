"""A job journal in SQLite: WAL, `synchronous=FULL`, so a job is on disk before its 202."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import orjson

from gateways.core.errors import BackendUnavailable, Conflict, GatewayError, NoSpace
from gateways.core.jobs.base import Change, Document, DocumentError, Job, Status
from gateways.core.profiles import Chunking
from gateways.core.settings import Settings

T = TypeVar("T")

_SCHEMA = """
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA cache_size = -256; -- KiB: a journal is read once, in order
CREATE TABLE IF NOT EXISTS jobs (
    number INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    collection TEXT NOT NULL,
    status TEXT NOT NULL,
    total INTEGER NOT NULL,
    processed INTEGER NOT NULL DEFAULT 0,
    error TEXT,
    errors TEXT NOT NULL DEFAULT '[]',
    idempotency_key TEXT UNIQUE,
    content_hash TEXT NOT NULL,
    chunk TEXT,
    created_at REAL NOT NULL,
    started_at REAL,
    finished_at REAL
);
CREATE INDEX IF NOT EXISTS unfinished ON jobs (number) WHERE finished_at IS NULL;
CREATE TABLE IF NOT EXISTS documents (
    job INTEGER NOT NULL,
    position INTEGER NOT NULL,
    id TEXT NOT NULL,
    text TEXT NOT NULL,
    metadata TEXT NOT NULL,
    PRIMARY KEY (job, position)
) WITHOUT ROWID;
-- Before document `position` of job `job` was written: see `gateways.core.jobs.base.Change`.
CREATE TABLE IF NOT EXISTS changes (
    number INTEGER PRIMARY KEY,
    job INTEGER NOT NULL,
    position INTEGER NOT NULL,
    kind TEXT NOT NULL,
    collection TEXT NOT NULL,
    document TEXT,
    profile TEXT,
    created_at REAL NOT NULL
);
"""
_JOB = "id, collection, status, total, processed, error, errors, created_at, started_at, finished_at, chunk"
# The first one to finish a job wins: a worker at its last step cannot undo a cancel.
_FINISH = "UPDATE jobs SET status = ?, error = ?, finished_at = ? WHERE finished_at IS NULL AND "


class SqliteJobs:
    """One connection, used by one thread at a time; every call runs off the event loop."""

    poll_s = None

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.Lock()
        self._connection = sqlite3.connect(path, check_same_thread=False, isolation_level=None)
        self._connection.executescript(_SCHEMA)

    async def submit(
        self, collection: str, documents: Sequence[Document], key: str | None, chunk: Chunking | None = None
    ) -> Job:
        """Write a pending job; Conflict when `key` was used for other documents."""
        return await self._call(lambda: self._submit(collection, documents, key, chunk))

    async def status(self, job_id: str) -> Job | None:
        """Return a job, or None."""
        found = await self._call(lambda: self._jobs("WHERE id = ?", job_id))
        return found[0] if found else None

    async def recent(self, limit: int, status: Status | None = None) -> list[Job]:
        """Return the newest jobs first, all of them or those of one status."""
        clause = "WHERE ?1 IS NULL OR status = ?1 ORDER BY number DESC LIMIT ?2"
        return await self._call(lambda: self._jobs(clause, status, limit))

    async def claim(self, besides: Sequence[str] = ()) -> Job | None:
        """Take the oldest job that is not finished, one that a killed process left running included."""
        return await self._call(lambda: self._claim(orjson.dumps(besides).decode()))

    async def documents(self, job_id: str, start: int, limit: int) -> list[Document]:
        """Return documents `start` to `start + limit` of a job."""
        query = (
            "SELECT documents.id, text, metadata FROM documents JOIN jobs ON jobs.number = job "
            "WHERE jobs.id = ? AND position >= ? ORDER BY position LIMIT ?"
        )
        rows = await self._call(lambda: self._connection.execute(query, (job_id, start, limit)).fetchall())
        return [Document(document_id, text, orjson.loads(metadata)) for document_id, text, metadata in rows]

    async def advance(self, job_id: str, processed: int, errors: Sequence[DocumentError]) -> None:
        """Remember how far a job is."""
        job = await self.status(job_id)
        known = [*(job.errors if job else ()), *errors]
        update = "UPDATE jobs SET processed = ?, errors = ? WHERE id = ?"
        await self._execute(update, processed, orjson.dumps(known).decode(), job_id)

    async def cancel(self, job_id: str) -> Job | None:
        """Mark a job cancelled; Conflict when it is finished."""
        return await self._call(lambda: self._cancel(job_id))

    async def cancel_all(self, collection: str) -> None:
        """Mark every unfinished job of a collection cancelled."""
        await self._execute(_FINISH + "collection = ?", "cancelled", None, time.time(), collection)

    async def complete(self, job_id: str) -> None:
        """Mark a job completed, unless it was cancelled."""
        await self._execute(_FINISH + "id = ?", "completed", None, time.time(), job_id)

    async def fail(self, job_id: str, error: str) -> None:
        """Mark a job failed, unless it was cancelled."""
        await self._execute(_FINISH + "id = ?", "failed", error, time.time(), job_id)

    async def record(self, change: Change) -> None:
        """Write down a change before the next document that is not processed yet."""
        await self._call(lambda: self._record(change))

    async def close(self) -> None:
        """Close the journal."""
        with self._lock:
            self._connection.close()

    async def _execute(self, statement: str, *values: Any) -> None:
        await self._call(lambda: self._connection.execute(statement, values))

    async def _call(self, work: Callable[[], T]) -> T:
        def locked() -> T:
            with self._lock:
                return work()

        try:
            return await asyncio.to_thread(locked)
        except sqlite3.OperationalError as error:
            raise _unwritten(error) from error

    def _submit(self, collection: str, documents: Sequence[Document], key: str | None, chunk: Chunking | None) -> Job:
        content = hashlib.sha256(orjson.dumps([collection, documents, chunk])).hexdigest()
        known = self._connection.execute(
            "SELECT id, content_hash FROM jobs WHERE idempotency_key = ?", (key,)
        ).fetchone()
        if known and known[1] != content:
            raise Conflict(
                "this Idempotency-Key was used for other documents; use a new key for a new request",
                param="Idempotency-Key",
            )
        job_id = known[0] if known else self._insert(collection, documents, key, content, chunk)
        return self._jobs("WHERE id = ?", job_id)[0]

    def _insert(
        self, collection: str, documents: Sequence[Document], key: str | None, content: str, chunk: Chunking | None
    ) -> str:
        job_id = uuid.uuid4().hex
        cut = orjson.dumps(chunk).decode() if chunk else None
        with self._connection:
            self._connection.execute("BEGIN IMMEDIATE")
            number = self._connection.execute(
                "INSERT INTO jobs (id, collection, status, total, idempotency_key, content_hash, chunk, created_at) "
                "VALUES (?, ?, 'pending', ?, ?, ?, ?, ?)",
                (job_id, collection, len(documents), key, content, cut, time.time()),
            ).lastrowid
            self._connection.executemany(
                "INSERT INTO documents VALUES (?, ?, ?, ?, ?)",
                (
                    (number, position, document.id, document.text, orjson.dumps(document.metadata).decode())
                    for position, document in enumerate(documents)
                ),
            )
        return job_id

    def _record(self, change: Change) -> None:
        at = self._connection.execute(
            "SELECT number, processed FROM jobs WHERE finished_at IS NULL ORDER BY number LIMIT 1"
        ).fetchone() or (self._connection.execute("SELECT coalesce(max(number), 0) + 1 FROM jobs").fetchone()[0], 0)
        profile = orjson.dumps(change.profile).decode() if change.profile else None
        self._connection.execute(
            "INSERT INTO changes (job, position, kind, collection, document, profile, created_at) "
            "VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*at, change.kind, change.collection, change.document_id, profile, time.time()),
        )

    def _cancel(self, job_id: str) -> Job | None:
        stopped = self._connection.execute(_FINISH + "id = ?", ("cancelled", None, time.time(), job_id)).rowcount
        found = self._jobs("WHERE id = ?", job_id)
        if found and not stopped:
            raise Conflict(
                f"job {job_id} is {found[0].status} already; there is nothing to cancel.",
                param="job_id",
                code="job_finished",
            )
        return found[0] if found else None

    def _claim(self, besides: str) -> Job | None:
        clause = "WHERE finished_at IS NULL AND id NOT IN (SELECT value FROM json_each(?)) ORDER BY number LIMIT 1"
        unfinished = self._jobs(clause, besides)
        if not unfinished:
            return None
        update = "UPDATE jobs SET status = 'running', started_at = coalesce(started_at, ?) WHERE id = ?"
        self._connection.execute(update, (time.time(), unfinished[0].id))
        return self._jobs("WHERE id = ?", unfinished[0].id)[0]

    def _jobs(self, clause: str, *values: Any) -> list[Job]:
        rows = self._connection.execute(f"SELECT {_JOB} FROM jobs {clause}", values)  # noqa: S608 # nosec B608 our own
        return [_job(row) for row in rows]


async def open_jobs(settings: Settings) -> SqliteJobs:
    """Open or make the journal below DATA_DIR."""
    return SqliteJobs(settings.data_dir / "jobs.sqlite")


def _unwritten(error: sqlite3.OperationalError) -> GatewayError:
    """Return what a client is told of a journal that cannot be written: nothing of its request was kept."""
    said = f"the job journal cannot be written, nothing was accepted: {error}"
    if error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_FULL:
        return NoSpace(said)
    return BackendUnavailable(said, code="journal_unwritable", retry_after_s=10)


def _job(row: tuple[Any, ...]) -> Job:
    job_id, collection, status, total, processed, error, errors, created, started, finished, chunk = row
    listed = tuple(DocumentError(**entry) for entry in orjson.loads(errors))
    cut = Chunking(**orjson.loads(chunk)) if chunk else None
    return Job(job_id, collection, status, total, processed, error, listed, created, started, finished, cut)
