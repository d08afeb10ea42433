"""The job queue in PostgreSQL, which several gateways share. A worker holds a lease of each job it claims."""

from __future__ import annotations

import time
from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from typing import Any

import orjson

from gateways.core.jobs import postgres_compaction, postgres_order
from gateways.core.jobs.base import Change, Document, DocumentError, Job, JobLost, Status
from gateways.core.jobs.postgres_lease import CHANGES_LOCK, WorkerLease
from gateways.core.jobs.postgres_schema import open_schema, to_bytes
from gateways.core.jobs.rows import (
    JOB_COLUMNS,
    finished_conflict,
    retry_conflict,
    to_job,
    to_json,
)
from gateways.core.persistence.postgres import Connection, Database
from gateways.core.profiles import Chunking
from gateways.core.settings import StoreSettings

POLL_S = 0.5

# Documents that were written before a cancellation are counted.
_ADVANCE = """
UPDATE gateway_jobs SET processed = %s, errors = %s
WHERE id = %s AND worker = %s AND (finished_at IS NULL OR status = 'cancelled')
"""
_QUEUED = """
SELECT EXISTS (
    SELECT FROM gateway_job_documents AS documents JOIN gateway_jobs AS jobs ON jobs.number = documents.job
    WHERE md5(documents.document_id) = md5(%(document)s) AND documents.document_id = %(document)s
    AND jobs.collection = %(collection)s AND finished_at IS NULL AND position >= processed
    AND NOT EXISTS (
        SELECT FROM gateway_changes AS changes
        WHERE kind = 'delete_document' AND changes.collection = %(collection)s AND before_job > jobs.number
        AND md5(document) = md5(%(document)s) AND document = %(document)s
    )
)
"""
# A deletion waits for the writers of its collection, and they for it.
_LOCK_COLLECTION = "SELECT pg_advisory_xact_lock(%s, hashtext(%s))"
_RECORD = """
INSERT INTO gateway_changes (kind, collection, document, profile, created_at, before_job)
VALUES (%s, %s, %s, %s, %s, (SELECT coalesce(max(number), 0) + 1 FROM gateway_jobs))
"""
# The first status that finishes a job stays: a worker at its last step cannot undo a cancellation.
_FINISH = "UPDATE gateway_jobs SET status = %s, error = %s, finished_at = %s WHERE finished_at IS NULL AND "


class PostgresJobs:
    """One worker of the queue that all gateways at one database share."""

    poll_s = POLL_S

    def __init__(self, database: Database, lease_s: float) -> None:
        self._database = database
        self._lease = WorkerLease(database, lease_s)

    async def open(self) -> None:
        """Connect, and start to renew the lease."""
        await self._database.open(open_schema)
        self._lease.start()

    def failure(self) -> str | None:
        """Return why the lease of this worker is no longer renewed, None if it is."""
        return self._lease.failure()

    async def submit(
        self, collection: str, documents: Sequence[Document], key: str | None, chunk: Chunking | None = None
    ) -> Job:
        """Write a pending job. Raises Conflict if `key` was used for other documents."""
        async with self._database.transaction() as connection:
            job_id = await postgres_order.submit(connection, collection, documents, key, chunk)
            return (await _select_jobs(connection, "WHERE id = %s", job_id))[0]

    async def status(self, job_id: str) -> Job | None:
        """Return a job, or None."""
        async with self._database.connection() as connection:
            jobs = await _select_jobs(connection, "WHERE id = %s", job_id.replace("\0", ""))
        return jobs[0] if jobs else None

    async def recent(self, limit: int, status: Status | None = None, after: str | None = None) -> list[Job]:
        """Return the newest jobs first, of one status or of all; with `after`, those accepted before that job."""
        clause = """
            WHERE (%s::text IS NULL OR status = %s)
            AND (%s::text IS NULL OR number < (SELECT number FROM gateway_jobs WHERE id = %s))
            ORDER BY number DESC LIMIT %s
        """
        async with self._database.connection() as connection:
            return await _select_jobs(connection, clause, status, status, after, after, limit)

    async def claim(
        self, excluded: Sequence[str] = (), waiting: Sequence[str] = (), served: Sequence[str] = ()
    ) -> Job | None:
        """Claim the next free job. A job is free if its lease has expired."""
        worker = {"now": time.time(), "worker": self._lease.worker_id, "lease_s": self._lease.lease_s}
        values = {"excluded": list(excluded), "waiting": list(waiting), "served": list(served), **worker}
        async with self._database.connection() as connection:
            cursor = await connection.execute(f"{postgres_order.CLAIM} RETURNING {JOB_COLUMNS}", values)  # nosec B608 our own
            row = await cursor.fetchone()
        return to_job(row) if row else None

    async def documents(self, job_id: str, start: int, limit: int) -> list[Document]:
        """Return documents `start` to `start + limit` of a job."""
        query = (
            "SELECT document FROM gateway_job_documents JOIN gateway_jobs ON gateway_jobs.number = job "
            "WHERE gateway_jobs.id = %s AND position >= %s ORDER BY position LIMIT %s"
        )
        async with self._database.connection() as connection:
            rows = await (await connection.execute(query, (job_id, start, limit))).fetchall()
        return [Document(**orjson.loads(stored)) for (stored,) in rows]

    async def queued(self, collection: str, document_id: str) -> bool:
        """Return whether an unfinished job has yet to write this document."""
        values = {"collection": collection, "document": to_bytes(document_id)}
        async with self._database.connection() as connection:
            row = await (await connection.execute(_QUEUED, values)).fetchone()
        return bool(row and row[0])

    def write_lease(self, job: Job, document_ids: Sequence[str]) -> AbstractAsyncContextManager[AbstractSet[str]]:
        """Hold a job in a transaction, which the writes of a store in the same database join."""
        return self._lease.write(job, document_ids)

    async def advance(self, job_id: str, processed: int, errors: Sequence[DocumentError]) -> None:
        """Record the number of processed documents, and their new errors. Raises JobLost."""
        job = await self.status(job_id)
        all_errors = [*(job.errors if job else ()), *errors]
        async with self._database.connection() as connection:
            values = (processed, to_json(all_errors), job_id, self._lease.worker_id)
            if not (await connection.execute(_ADVANCE, values)).rowcount:
                raise JobLost(job_id)

    async def cancel(self, job_id: str) -> Job | None:
        """Mark a job cancelled. Raises Conflict if it is finished."""
        cancelled = await self._finish("id = %s", "cancelled", None, job_id.replace("\0", ""))
        job = await self.status(job_id)
        if job and not cancelled:
            raise finished_conflict(job)
        return job

    async def cancel_all(self, collection: str) -> None:
        """Mark every unfinished job of a collection cancelled."""
        await self._finish("collection = %s", "cancelled", None, collection)

    async def complete(self, job_id: str) -> None:
        """Mark a job completed, unless it was cancelled."""
        await self._finish("id = %s AND worker = %s", "completed", None, job_id, self._lease.worker_id)

    async def fail(self, job_id: str, error: str) -> None:
        """Mark a job failed, unless it was cancelled."""
        await self._finish(
            "id = %s AND worker = %s", "failed", error.replace("\0", ""), job_id, self._lease.worker_id
        )

    async def report(self, job_id: str, error: str | None) -> None:
        """Record why an unfinished job waits."""
        async with self._database.connection() as connection:
            update = "UPDATE gateway_jobs SET error = %s WHERE id = %s AND worker = %s AND finished_at IS NULL"
            await connection.execute(update, (error and error.replace("\0", ""), job_id, self._lease.worker_id))

    async def isolate(self, job_id: str, isolated: int) -> None:
        """Record that documents before this position go to the model one at a time."""
        async with self._database.connection() as connection:
            await connection.execute("UPDATE gateway_jobs SET isolated = %s WHERE id = %s", (isolated, job_id))

    async def retry(self, job_id: str) -> Job | None:
        """Queue a failed job again. Raises Conflict."""
        async with self._database.connection() as connection:
            cursor = await connection.execute(postgres_order.RETRY, (job_id.replace("\0", ""),))
        job = await self.status(job_id)
        if job and not cursor.rowcount:
            raise retry_conflict(job)
        return job

    async def record(self, change: Change) -> None:
        """Record a change, once no process is writing to the collection."""
        document = to_bytes(change.document_id) if change.document_id is not None else None
        profile = to_json(change.profile) if change.profile else None
        async with self._database.transaction() as connection:
            await connection.execute(_LOCK_COLLECTION, (CHANGES_LOCK, change.collection))
            await connection.execute(_RECORD, (change.kind, change.collection, document, profile, time.time()))

    async def compact(self) -> int:
        """Erase what no job or retry needs. Returns the number of erased documents."""
        return await postgres_compaction.compact(self._database)

    async def size_bytes(self) -> int:
        """Return the size of the queue's tables."""
        return await postgres_compaction.size_bytes(self._database)

    async def close(self) -> None:
        """Release the claimed jobs to other workers, and close the connections."""
        await self._lease.release()
        await self._database.close()

    async def _finish(self, selection: str, status: Status, error: str | None, *values: str) -> int:
        async with self._database.connection() as connection:
            cursor = await connection.execute((_FINISH + selection).encode(), (status, error, time.time(), *values))
        return cursor.rowcount


async def open_jobs(settings: StoreSettings) -> PostgresJobs:
    """Open or create the queue in the database."""
    jobs = PostgresJobs(Database(settings.database_url), settings.job_lease_s)
    await jobs.open()
    return jobs


async def _select_jobs(connection: Connection, clause: str, *values: Any) -> list[Job]:
    select = f"SELECT {JOB_COLUMNS} FROM gateway_jobs {clause}".encode()  # noqa: S608 # nosec B608 our own words
    cursor = await connection.execute(select, values)
    return [to_job(row) for row in await cursor.fetchall()]
