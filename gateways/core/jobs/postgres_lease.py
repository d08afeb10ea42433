"""The lease of a worker in PostgreSQL: it is renewed while the process lives, and fences its writes."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import AsyncIterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager

import psycopg

from gateways.core.errors import BackendUnavailable
from gateways.core.jobs import postgres_order
from gateways.core.jobs.base import Job, JobCancelled, JobLost
from gateways.core.persistence.postgres import Database

log = logging.getLogger(__name__)

# The first half of the advisory lock of a collection; the second half is the hash of its name.
CHANGES_LOCK = 0x656D63
# The server ends a session that is idle for longer in its transaction, as that of a paused process is.
_LOCK_JOB = """
SELECT number, status, finished_at, worker, turn, set_config('idle_in_transaction_session_timeout', %s, true)
FROM gateway_jobs WHERE id = %s FOR SHARE
"""
# Writers of a collection share this lock, and a deletion holds it alone.
_SHARE_COLLECTION = "SELECT pg_advisory_xact_lock_shared(%s, hashtext(%s))"
_RENEW = """
UPDATE gateway_jobs SET lease_until = now() + make_interval(secs => %s) WHERE worker = %s AND finished_at IS NULL
"""


class WorkerLease:
    """
    The lease of all jobs that one worker has claimed. A job whose lease has expired is free for other workers.

    A worker renews its lease three times in `lease_s`.
    """

    def __init__(self, database: Database, lease_s: float) -> None:
        self._database = database
        self.lease_s = lease_s
        self.worker_id = uuid.uuid4().hex

    def start(self) -> None:
        """Begin to renew the lease."""
        self._renewal = asyncio.create_task(self._renew())

    def failure(self) -> str | None:
        """Return why the lease is no longer renewed, None if it is."""
        return "the lease of this gateway's ingest jobs is no longer renewed" if self._renewal.done() else None

    async def release(self) -> None:
        """Release the claimed jobs to other workers."""
        self._renewal.cancel()
        try:
            async with self._database.connection() as connection:
                await connection.execute(
                    "UPDATE gateway_jobs SET worker = NULL WHERE worker = %s AND finished_at IS NULL",
                    (self.worker_id,),
                )
        except BackendUnavailable as error:
            log.warning("the lease of this worker's jobs expires in %g s: %s", self.lease_s, error)

    @asynccontextmanager
    async def write(self, job: Job, document_ids: Sequence[str]) -> AsyncIterator[AbstractSet[str]]:
        """
        Hold a job in a transaction, which the writes of a store in the same database join.

        Yields the ids that were deleted or replaced since the job was accepted. Raises JobCancelled, JobLost.
        """
        async with self._database.transaction() as connection:
            await connection.execute(_SHARE_COLLECTION, (CHANGES_LOCK, job.collection))
            idle_ms = str(int(self.lease_s * 1000))
            row = await (await connection.execute(_LOCK_JOB, (idle_ms, job.id))).fetchone()
            if row is None or row[1] == "cancelled":
                raise JobCancelled(job.id)
            number, _, finished_at, worker, turn, _ = row
            if finished_at is not None or worker != self.worker_id:
                raise JobLost(job.id)
            yield await postgres_order.outdated(connection, job.collection, number, turn, document_ids)

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self.lease_s / 3)
            try:
                async with self._database.connection() as connection:
                    await connection.execute(_RENEW, (self.lease_s, self.worker_id))
            except (BackendUnavailable, psycopg.Error) as error:
                # The loop goes on after any error: without it a living worker would lose its jobs unnoticed.
                log.warning("the lease of this worker's jobs cannot be renewed: %s", error)
