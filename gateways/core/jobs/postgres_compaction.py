"""Compaction of the job queue in PostgreSQL: documents and changes that no job or retry needs are erased."""

from __future__ import annotations

from gateways.core.persistence.postgres import Database

# Jobs looked at in one transaction.
JOBS_PER_STEP = 10

# Documents that were deleted, or replaced by a later one, or never written.
_ERASE_DOCUMENTS = """
DELETE FROM gateway_job_documents AS old USING gateway_jobs AS old_job
WHERE old_job.number = old.job AND old.job >= %(first)s AND old.job < %(end)s AND old_job.finished_at IS NOT NULL
AND (
    (old.position >= old_job.processed AND old_job.status <> 'failed')
    OR EXISTS (
        SELECT FROM gateway_changes AS changes
        WHERE changes.collection = old_job.collection AND before_job > old.job
        AND (
            kind = 'delete_collection'
            OR (kind = 'delete_document' AND md5(changes.document) = md5(document_id)
                AND changes.document = document_id)
        )
    )
    OR (old.position < old_job.processed AND EXISTS (
        SELECT FROM gateway_job_documents AS new JOIN gateway_jobs AS new_job ON new_job.number = new.job
        WHERE md5(new.document_id) = md5(old.document_id) AND new.document_id = old.document_id
        AND new_job.collection = old_job.collection AND new.position < new_job.processed
        AND (new.job, new.position) > (old.job, old.position)
    ))
)
"""
# Of the profiles of a collection only the last one counts. A deletion is needed while a job of before it may still
# write: `first_open` is the first such job, `last` the last change that was there when the documents were looked at.
_ERASE_CHANGES = (
    """
    DELETE FROM gateway_changes AS changes WHERE kind = 'put_collection' AND EXISTS (
        SELECT FROM gateway_changes AS later
        WHERE later.collection = changes.collection AND later.number > changes.number
        AND later.kind <> 'delete_document'
    )
    """,
    """
    DELETE FROM gateway_changes
    WHERE number <= %(last)s AND kind <> 'put_collection' AND before_job <= %(first_open)s
    """,
)
_LIMITS = """
SELECT
    (SELECT coalesce(min(number), 9223372036854775807) FROM gateway_jobs
     WHERE finished_at IS NULL OR status = 'failed'),
    (SELECT coalesce(max(number), 0) FROM gateway_changes),
    (SELECT coalesce(min(job), 0) FROM gateway_job_documents),
    (SELECT coalesce(max(job), 0) FROM gateway_job_documents)
"""
_SIZE = """
SELECT sum(pg_total_relation_size(name::regclass))::bigint
FROM unnest(ARRAY['gateway_jobs', 'gateway_job_documents', 'gateway_changes']) AS name
"""


async def compact(database: Database) -> int:
    """Erase what no job or retry needs, in small steps. Returns the number of erased documents."""
    async with database.connection() as connection:
        row = await (await connection.execute(_LIMITS)).fetchone()
    assert row  # noqa: S101 the statement always returns a row
    first_open, last, first_job, last_job = row
    erased = 0
    for first in range(first_job, last_job + 1, JOBS_PER_STEP):
        async with database.connection() as connection:
            cursor = await connection.execute(_ERASE_DOCUMENTS, {"first": first, "end": first + JOBS_PER_STEP})
            erased += cursor.rowcount
    # In this order: the deletion of a collection is erased after the profiles that it ended.
    for statement in _ERASE_CHANGES:
        async with database.connection() as connection:
            await connection.execute(statement, {"first_open": first_open, "last": last})
    return erased


async def size_bytes(database: Database) -> int:
    """Return the size of the tables of the queue, with their indexes."""
    async with database.connection() as connection:
        row = await (await connection.execute(_SIZE)).fetchone()
    return int(row[0]) if row else 0
