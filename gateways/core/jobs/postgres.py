"""Jobs in PostgreSQL, which several gateways work off: each job belongs to one of them while that is heard of."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import time
import uuid
from collections.abc import Sequence
from typing import Any

import orjson

from gateways.core.errors import BackendUnavailable, Conflict
from gateways.core.jobs.base import Change, Document, DocumentError, Job, JobLost, Status
from gateways.core.postgres import Connection, Database
from gateways.core.profiles import Chunking
from gateways.core.settings import Settings

log = logging.getLogger(__name__)

# A worker is given up when it was not heard of for so long; it says that it lives three times in it.
LEASE_S = 15.0
# New jobs of other gateways are looked for so often.
POLL_S = 0.5

_SCHEMA = """
CREATE TABLE IF NOT EXISTS gateway_jobs (
    number bigserial PRIMARY KEY,
    id text NOT NULL UNIQUE,
    collection text NOT NULL,
    status text NOT NULL,
    total integer NOT NULL,
    processed integer NOT NULL DEFAULT 0,
    error text,
    errors text NOT NULL DEFAULT '[]',
    idempotency_key text UNIQUE,
    content_hash text NOT NULL,
    chunk text,
    created_at float8 NOT NULL,
    started_at float8,
    finished_at float8,
    worker text,
    lease_until timestamptz
);
CREATE INDEX IF NOT EXISTS gateway_jobs_unfinished ON gateway_jobs (number) WHERE finished_at IS NULL;
CREATE TABLE IF NOT EXISTS gateway_job_documents (
    job bigint NOT NULL REFERENCES gateway_jobs,
    position integer NOT NULL,
    document bytea NOT NULL,
    PRIMARY KEY (job, position)
);
CREATE TABLE IF NOT EXISTS gateway_changes (
    number bigserial PRIMARY KEY,
    kind text NOT NULL,
    collection text NOT NULL,
    document bytea,
    profile text,
    created_at float8 NOT NULL
);
"""
_SUBMIT = """
INSERT INTO gateway_jobs (id, collection, status, total, idempotency_key, content_hash, chunk, created_at)
VALUES (%s, %s, 'pending', %s, %s, %s, %s, %s) ON CONFLICT (idempotency_key) DO NOTHING RETURNING number
"""
_ADVANCE = """
UPDATE gateway_jobs SET processed = %s, errors = %s WHERE id = %s AND (worker = %s OR worker IS NULL)
"""
_JOB = "id, collection, status, total, processed, error, errors, created_at, started_at, finished_at, chunk"
# The oldest one that nobody is at; those of one collection one after the other, for later documents replace earlier.
_CLAIM = """
UPDATE gateway_jobs
SET status = 'running', started_at = coalesce(started_at, %(now)s), worker = %(worker)s,
    lease_until = now() + make_interval(secs => %(lease_s)s)
WHERE number = (
    SELECT number FROM gateway_jobs AS free
    WHERE finished_at IS NULL AND (worker IS NULL OR worker = %(worker)s OR lease_until < now())
    AND id <> ALL (%(besides)s)
    AND NOT EXISTS (
        SELECT FROM gateway_jobs AS earlier
        WHERE earlier.collection = free.collection AND earlier.finished_at IS NULL AND earlier.number < free.number
        AND earlier.id <> ALL (%(besides)s)
    )
    ORDER BY number LIMIT 1 FOR UPDATE SKIP LOCKED
)
"""
# The first one to finish a job wins: a worker at its last step cannot undo a cancel.
_FINISH = (
    "UPDATE gateway_jobs SET status = %s, error = %s, finished_at = %s, worker = NULL WHERE finished_at IS NULL AND "
)


class PostgresJobs:
    """One worker of the queue that the gateways at one database share."""

    poll_s = POLL_S

    def __init__(self, database: Database, lease_s: float = LEASE_S) -> None:
        self._database = database
        self._lease_s = lease_s
        self._worker = uuid.uuid4().hex

    async def open(self) -> None:
        """Connect, and keep saying that this worker lives."""
        await self._database.open(_SCHEMA)
        self._living = asyncio.create_task(self._live())

    async def submit(
        self, collection: str, documents: Sequence[Document], key: str | None, chunk: Chunking | None = None
    ) -> Job:
        """Write a pending job; Conflict when `key` was used for other documents."""
        content = hashlib.sha256(orjson.dumps([collection, documents, chunk])).hexdigest()
        job_id = uuid.uuid4().hex
        async with self._database.transaction() as connection:
            made = await connection.execute(
                _SUBMIT,
                (job_id, collection, len(documents), key, content, _json(chunk) if chunk else None, time.time()),
            )
            row = await made.fetchone()
            if row is None:
                return await self._as_before(connection, key, content)
            async with connection.cursor() as cursor:
                await cursor.executemany(
                    "INSERT INTO gateway_job_documents VALUES (%s, %s, %s)",
                    [(row[0], position, orjson.dumps(document)) for position, document in enumerate(documents)],
                )
            return (await _jobs(connection, "WHERE id = %s", job_id))[0]

    async def status(self, job_id: str) -> Job | None:
        """Return a job, or None."""
        async with self._database.connection() as connection:
            found = await _jobs(connection, "WHERE id = %s", job_id.replace("\0", ""))
        return found[0] if found else None

    async def recent(self, limit: int, status: Status | None = None) -> list[Job]:
        """Return the newest jobs first, all of them or those of one status."""
        clause = "WHERE %s::text IS NULL OR status = %s ORDER BY number DESC LIMIT %s"
        async with self._database.connection() as connection:
            return await _jobs(connection, clause, status, status, limit)

    async def claim(self, besides: Sequence[str] = ()) -> Job | None:
        """Take the oldest job that nobody is at; one whose worker was not heard of for long counts as such."""
        values = {"now": time.time(), "worker": self._worker, "lease_s": self._lease_s, "besides": list(besides)}
        async with self._database.connection() as connection:
            claimed = await connection.execute(f"{_CLAIM} RETURNING {_JOB}", values)  # nosec B608 our own
            row = await claimed.fetchone()
        return _job(row) if row else None

    async def documents(self, job_id: str, start: int, limit: int) -> list[Document]:
        """Return documents `start` to `start + limit` of a job."""
        query = (
            "SELECT document FROM gateway_job_documents JOIN gateway_jobs ON gateway_jobs.number = job "
            "WHERE gateway_jobs.id = %s AND position >= %s ORDER BY position LIMIT %s"
        )
        async with self._database.connection() as connection:
            rows = await (await connection.execute(query, (job_id, start, limit))).fetchall()
        return [Document(**orjson.loads(stored)) for (stored,) in rows]

    async def advance(self, job_id: str, processed: int, errors: Sequence[DocumentError]) -> None:
        """Remember how far a job is. Raises JobLost when it is another worker's by now."""
        job = await self.status(job_id)
        known = [*(job.errors if job else ()), *errors]
        async with self._database.connection() as connection:
            values = (processed, _json(known), job_id, self._worker)
            if not (await connection.execute(_ADVANCE, values)).rowcount:
                raise JobLost(job_id)

    async def cancel(self, job_id: str) -> Job | None:
        """Mark a job cancelled; Conflict when it is finished."""
        stopped = await self._finish("id = %s", "cancelled", None, job_id.replace("\0", ""))
        found = await self.status(job_id)
        if found and not stopped:
            raise Conflict(
                f"job {job_id} is {found.status} already; there is nothing to cancel.",
                param="job_id",
                code="job_finished",
            )
        return found

    async def cancel_all(self, collection: str) -> None:
        """Mark every unfinished job of a collection cancelled."""
        await self._finish("collection = %s", "cancelled", None, collection)

    async def complete(self, job_id: str) -> None:
        """Mark a job completed, unless it was cancelled."""
        await self._finish("id = %s AND worker = %s", "completed", None, job_id, self._worker)

    async def fail(self, job_id: str, error: str) -> None:
        """Mark a job failed, unless it was cancelled."""
        await self._finish("id = %s AND worker = %s", "failed", error.replace("\0", ""), job_id, self._worker)

    async def record(self, change: Change) -> None:
        """Write down a change."""
        document = change.document_id.encode() if change.document_id is not None else None
        profile = _json(change.profile) if change.profile else None
        async with self._database.connection() as connection:
            await connection.execute(
                "INSERT INTO gateway_changes (kind, collection, document, profile, created_at) "
                "VALUES (%s, %s, %s, %s, %s)",
                (change.kind, change.collection, document, profile, time.time()),
            )

    async def close(self) -> None:
        """Let another worker go on with what this one was at, and close the connections."""
        self._living.cancel()
        try:
            async with self._database.connection() as connection:
                await connection.execute("UPDATE gateway_jobs SET worker = NULL WHERE worker = %s", (self._worker,))
        except BackendUnavailable as error:
            log.warning("jobs are let go of in %g s: %s", self._lease_s, error)
        await self._database.close()

    async def _live(self) -> None:
        """Keep what this worker is at its own."""
        renew = (
            "UPDATE gateway_jobs SET lease_until = now() + make_interval(secs => %s) "
            "WHERE worker = %s AND finished_at IS NULL"
        )
        while True:
            await asyncio.sleep(self._lease_s / 3)
            try:
                async with self._database.connection() as connection:
                    await connection.execute(renew, (self._lease_s, self._worker))
            except BackendUnavailable as error:
                log.warning("cannot say that this worker lives: %s", error)

    async def _as_before(self, connection: Connection, key: str | None, content: str) -> Job:
        found = await connection.execute(
            "SELECT id, content_hash FROM gateway_jobs WHERE idempotency_key = %s", (key,)
        )
        row = await found.fetchone()
        if row is None or row[1] != content:
            raise Conflict(
                "this Idempotency-Key was used for other documents; use a new key for a new request",
                param="Idempotency-Key",
            )
        return (await _jobs(connection, "WHERE id = %s", row[0]))[0]

    async def _finish(self, which: str, status: Status, error: str | None, *values: str) -> int:
        async with self._database.connection() as connection:
            done = await connection.execute((_FINISH + which).encode(), (status, error, time.time(), *values))
        return done.rowcount


async def open_jobs(settings: Settings) -> PostgresJobs:
    """Open or make the queue in the database."""
    jobs = PostgresJobs(Database(settings.database_url))
    await jobs.open()
    return jobs


async def _jobs(connection: Connection, clause: str, *values: Any) -> list[Job]:
    found = await connection.execute(f"SELECT {_JOB} FROM gateway_jobs {clause}".encode(), values)  # noqa: S608 # nosec
    return [_job(row) for row in await found.fetchall()]


def _job(row: tuple[Any, ...]) -> Job:
    job_id, collection, status, total, processed, error, errors, created, started, finished, chunk = row
    listed = tuple(DocumentError(**entry) for entry in orjson.loads(errors))
    cut = Chunking(**orjson.loads(chunk)) if chunk else None
    return Job(job_id, collection, status, total, processed, error, listed, created, started, finished, cut)


def _json(value: Any) -> str:
    return orjson.dumps(value).decode()
