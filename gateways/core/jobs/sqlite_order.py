"""The order of jobs in the SQLite journal: their place, which is next, and what a job must not write any more."""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Sequence
from collections.abc import Set as AbstractSet

from gateways.core.jobs.base import Document, Job, JobCancelled, JobLost
from gateways.core.jobs.rows import content_hash, idempotency_conflict, same_content, to_json
from gateways.core.profiles import Chunking

_CLAIM = """
UPDATE jobs SET status = 'running', started_at = coalesce(started_at, ?1) WHERE number = (
    SELECT number FROM jobs
    WHERE finished_at IS NULL AND id NOT IN (SELECT value FROM json_each(?2))
    AND collection NOT IN (SELECT value FROM json_each(?3))
    ORDER BY (SELECT key FROM json_each(?4) WHERE value = collection), coalesce(turn, number), number LIMIT 1
)
RETURNING id
"""
_RETRY = """
UPDATE jobs SET status = 'pending', error = NULL, finished_at = NULL,
    turn = (SELECT max(max(number), coalesce(max(turn), 0)) + 1 FROM jobs)
WHERE id = ?1 AND status = 'failed' AND NOT EXISTS (
    SELECT 1 FROM changes
    WHERE kind = 'delete_collection' AND changes.collection = jobs.collection AND changes.job > jobs.number
)
"""
_DELETED = """
SELECT document FROM changes
WHERE kind = 'delete_document' AND collection = ? AND job > ? AND document IN ({ids})
"""
# A job that is tried again comes after jobs that were accepted later. What those have written is newer.
_REPLACED = """
SELECT documents.id FROM documents JOIN jobs ON jobs.number = documents.job
WHERE collection = ? AND number > ? AND documents.id IN ({ids})
AND (finished_at IS NULL OR position < processed) AND coalesce(turn, number) < ?
"""


def submit(
    engine: sqlite3.Connection,
    collection: str,
    documents: Sequence[Document],
    key: str | None,
    chunk: Chunking | None,
) -> str:
    """Write a pending job, or find the one of an idempotency key, and return its id. Raises Conflict."""
    content = content_hash(collection, documents, chunk)
    row = engine.execute("SELECT id, content_hash FROM jobs WHERE idempotency_key = ?", (key,)).fetchone()
    if row and not same_content(row[1], content, collection, documents, chunk):
        raise idempotency_conflict()
    if row:
        return str(row[0])
    job_id = uuid.uuid4().hex
    with engine:
        engine.execute("BEGIN IMMEDIATE")
        number = engine.execute(
            "INSERT INTO jobs (id, collection, status, total, idempotency_key, content_hash, chunk, created_at) "
            "VALUES (?, ?, 'pending', ?, ?, ?, ?, ?)",
            (job_id, collection, len(documents), key, content, to_json(chunk) if chunk else None, time.time()),
        ).lastrowid
        engine.executemany(
            "INSERT INTO documents VALUES (?, ?, ?, ?, ?)",
            (
                (number, position, document.id, document.text, to_json(document.metadata))
                for position, document in enumerate(documents)
            ),
        )
    return job_id


def claim(
    engine: sqlite3.Connection, excluded: Sequence[str], waiting: Sequence[str], served: Sequence[str]
) -> str | None:
    """Claim a job and return its id, None if there is none: see `JobQueue.claim`."""
    values = (time.time(), to_json(excluded), to_json(waiting), to_json(served))
    rows = engine.execute(_CLAIM, values).fetchall()
    return rows[0][0] if rows else None


def retry(engine: sqlite3.Connection, job_id: str) -> bool:
    """Queue a failed job again. Returns False if it is unknown, has not failed, or lost its collection since."""
    return engine.execute(_RETRY, (job_id,)).rowcount > 0


def outdated(engine: sqlite3.Connection, job: Job, document_ids: Sequence[str]) -> AbstractSet[str]:
    """Return the ids that were deleted or replaced since a job was accepted. Raises JobCancelled, JobLost."""
    query = "SELECT number, turn, status, finished_at FROM jobs WHERE id = ?"
    number, turn, status, finished_at = engine.execute(query, (job.id,)).fetchone() or (None, None, "cancelled", None)
    if status == "cancelled":
        raise JobCancelled(job.id)
    if finished_at is not None:
        raise JobLost(job.id)
    # One mark an id: json_each ends a string at U+0000.
    marks = ", ".join("?" * len(document_ids))
    values = (job.collection, number, *document_ids)
    rows = engine.execute(_DELETED.format(ids=marks), values).fetchall()
    if turn is not None:
        rows += engine.execute(_REPLACED.format(ids=marks), (*values, turn)).fetchall()
    return {document for (document,) in rows}
