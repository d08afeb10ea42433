"""The order of jobs in PostgreSQL: their place, which is next, and what a job must not write any more."""

from __future__ import annotations

import hashlib
import time
import uuid
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

import orjson

from gateways.core.jobs.base import Document
from gateways.core.jobs.postgres_schema import to_bytes
from gateways.core.jobs.rows import content_hash, idempotency_conflict, same_content, to_json
from gateways.core.persistence.postgres import Connection
from gateways.core.profiles import Chunking

_SUBMIT = """
INSERT INTO gateway_jobs (id, collection, status, total, idempotency_key, content_hash, chunk, created_at)
VALUES (%s, %s, 'pending', %s, %s, %s, %s, %s) ON CONFLICT (idempotency_key) DO NOTHING RETURNING number
"""
_SUBMIT_DOCUMENT = """
INSERT INTO gateway_job_documents (job, position, document, document_id) VALUES (%s, %s, %s, %s)
"""
# Claims a free job. Jobs of one collection run one after the other, since later documents replace earlier ones.
CLAIM = """
UPDATE gateway_jobs
SET status = 'running', started_at = coalesce(started_at, %(now)s), worker = %(worker)s,
    lease_until = now() + make_interval(secs => %(lease_s)s)
WHERE number = (
    SELECT number FROM gateway_jobs AS free
    WHERE finished_at IS NULL AND (worker IS NULL OR worker = %(worker)s OR lease_until < now())
    AND id <> ALL (%(excluded)s) AND collection <> ALL (%(waiting)s)
    AND NOT EXISTS (
        SELECT FROM gateway_jobs AS earlier
        WHERE earlier.collection = free.collection AND earlier.finished_at IS NULL
        AND (coalesce(earlier.turn, earlier.number), earlier.number) < (coalesce(free.turn, free.number), free.number)
        AND earlier.id <> ALL (%(excluded)s)
    )
    ORDER BY coalesce(array_position(%(served)s::text[], collection), 0), coalesce(turn, number), number
    LIMIT 1 FOR UPDATE SKIP LOCKED
)
"""
RETRY = """
UPDATE gateway_jobs AS jobs SET status = 'pending', error = NULL, finished_at = NULL, worker = NULL,
    turn = (SELECT greatest(max(number), max(turn)) + 1 FROM gateway_jobs)
WHERE id = %s AND status = 'failed' AND NOT EXISTS (
    SELECT FROM gateway_changes AS changes
    WHERE kind = 'delete_collection' AND changes.collection = jobs.collection AND before_job > jobs.number
)
"""
_DELETED = """
SELECT document FROM gateway_changes WHERE kind = 'delete_document' AND collection = %(collection)s
AND before_job > %(number)s AND md5(document) = ANY(%(hashes)s) AND document = ANY(%(ids)s)
"""
# A job that is tried again comes after jobs that were accepted later. What those have written is newer.
_REPLACED = """
SELECT document_id FROM gateway_job_documents AS documents JOIN gateway_jobs AS jobs ON jobs.number = documents.job
WHERE md5(document_id) = ANY(%(hashes)s) AND document_id = ANY(%(ids)s) AND collection = %(collection)s
AND jobs.number > %(number)s AND (finished_at IS NULL OR position < processed)
AND coalesce(jobs.turn, jobs.number) < %(turn)s
"""


async def submit(
    connection: Connection, collection: str, documents: Sequence[Document], key: str | None, chunk: Chunking | None
) -> str:
    """Write a pending job, or find the one of an idempotency key, and return its id. Raises Conflict."""
    content = content_hash(collection, documents, chunk)
    job_id = uuid.uuid4().hex
    chunking = to_json(chunk) if chunk else None
    values = (job_id, collection, len(documents), key, content, chunking, time.time())
    row = await (await connection.execute(_SUBMIT, values)).fetchone()
    if row is None:
        query = "SELECT id, content_hash FROM gateway_jobs WHERE idempotency_key = %s"
        row = await (await connection.execute(query, (key,))).fetchone()
        if row is None or not same_content(row[1], content, collection, documents, chunk):
            raise idempotency_conflict()
        return str(row[0])
    async with connection.cursor() as inserts:
        await inserts.executemany(
            _SUBMIT_DOCUMENT,
            [
                (row[0], position, orjson.dumps(document), to_bytes(document.id))
                for position, document in enumerate(documents)
            ],
        )
    return job_id


async def outdated(
    connection: Connection, collection: str, number: int, turn: int | None, document_ids: Sequence[str]
) -> AbstractSet[str]:
    """Return the ids that were deleted or replaced since the job `number` was accepted."""
    ids = [to_bytes(document_id) for document_id in document_ids]
    hashes = [hashlib.md5(name, usedforsecurity=False).hexdigest() for name in ids]
    values = {"collection": collection, "number": number, "turn": turn, "hashes": hashes, "ids": ids}
    rows = await (await connection.execute(_DELETED, values)).fetchall()
    if turn is not None:
        rows += await (await connection.execute(_REPLACED, values)).fetchall()
    return {bytes(document).decode() for (document,) in rows}
