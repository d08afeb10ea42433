"""Jobs as rows of an SQL table, and the errors that every job queue raises."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

import orjson

from gateways.core.errors import Conflict
from gateways.core.jobs.base import Document, DocumentError, Job
from gateways.core.profiles import Chunking

# The columns that `to_job` reads, in order.
JOB_COLUMNS = (
    "id, collection, status, total, processed, error, errors, created_at, started_at, finished_at, chunk, isolated"
)


def to_job(row: tuple[Any, ...]) -> Job:
    """Return the job of a row of JOB_COLUMNS."""
    job_id, collection, status, total, processed, error, errors, created, started, finished, chunk, isolated = row
    document_errors = tuple(DocumentError(**entry) for entry in orjson.loads(errors))
    return Job(
        job_id,
        collection,
        status,
        total,
        processed,
        error,
        document_errors,
        created,
        started,
        finished,
        to_chunking(chunk),
        isolated,
    )


def to_chunking(column: str | None) -> Chunking | None:
    """Return the chunking of the column `chunk`."""
    return Chunking(**orjson.loads(column)) if column else None


def to_json(value: Any) -> str:
    """Return a value as JSON. A dataclass becomes an object."""
    return orjson.dumps(value).decode()


def content_hash(collection: str, documents: Sequence[Document], chunk: Chunking | None) -> str:
    """Return the hash of what a request submits. The order of keys in metadata makes no difference."""
    return _hash([collection, documents, chunk], orjson.OPT_SORT_KEYS)


def same_content(
    stored_hash: str, content: str, collection: str, documents: Sequence[Document], chunk: Chunking | None
) -> bool:
    """Return whether a stored hash is `content`, or the hash that earlier versions made of the same request."""
    return stored_hash == content or stored_hash == _hash([collection, documents, chunk], 0)


def _hash(content: Any, option: int) -> str:
    return hashlib.sha256(orjson.dumps(content, option=option)).hexdigest()


def idempotency_conflict() -> Conflict:
    """Return the error about an idempotency key that came with other documents before."""
    return Conflict(
        "this Idempotency-Key was used for other documents; use a new key for a new request",
        param="Idempotency-Key",
    )


def finished_conflict(job: Job) -> Conflict:
    """Return the error about a job that cannot be cancelled because it is finished."""
    return Conflict(
        f"job {job.id} is {job.status} already; there is nothing to cancel.", param="job_id", code="job_finished"
    )


def retry_conflict(job: Job) -> Conflict:
    """Return the error about a job that cannot be tried again."""
    if job.status == "failed":
        reason = f"the collection {job.collection!r} was deleted since; send the documents again."
        return Conflict(f"job {job.id} failed, and {reason}", param="job_id", code="collection_deleted")
    return Conflict(
        f"job {job.id} is {job.status}; only a failed job can be tried again.", param="job_id", code="job_not_failed"
    )
