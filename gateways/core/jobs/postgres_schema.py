"""The tables of the job queue in PostgreSQL, and their statements."""

from __future__ import annotations

import orjson

from gateways.core.persistence.postgres import Connection, read_version, write_version
from gateways.core.persistence.versions import check_version

# Version 0 is every database before 2026-12.
VERSION = 1
# Gateways of the version before insert rows without the columns `document_id` and `before_job`.
_TABLES = """
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
# `before_job`: a change comes after every document of a job with a smaller number.
# `turn`: the place in the queue of a job that is tried again. Without one it is the number.
_MIGRATION = """
ALTER TABLE gateway_job_documents ADD COLUMN IF NOT EXISTS document_id bytea;
CREATE INDEX IF NOT EXISTS gateway_job_document_ids ON gateway_job_documents (md5(document_id));
ALTER TABLE gateway_changes ADD COLUMN IF NOT EXISTS before_job bigint;
ALTER TABLE gateway_jobs ADD COLUMN IF NOT EXISTS turn bigint;
ALTER TABLE gateway_jobs ADD COLUMN IF NOT EXISTS isolated integer NOT NULL DEFAULT 0;
CREATE INDEX IF NOT EXISTS gateway_deletions ON gateway_changes (collection, md5(document), before_job)
    WHERE kind = 'delete_document';
"""
# The jobs whose documents others ask for: unfinished ones, and those that a failed one must not undo.
_UNNAMED = """
SELECT job, position, gateway_job_documents.document FROM gateway_job_documents JOIN gateway_jobs ON number = job
WHERE document_id IS NULL
AND (finished_at IS NULL OR number > (SELECT min(number) FROM gateway_jobs WHERE status = 'failed'))
"""
_NAME = "UPDATE gateway_job_documents SET document_id = %s WHERE job = %s AND position = %s"


async def open_schema(connection: Connection) -> None:
    """Create the missing tables, and migrate those of an earlier version, in one transaction. Raises NewerVersion."""
    version = await read_version(connection, "jobs")
    check_version("the job queue at DATABASE_URL", version, VERSION)
    if version == VERSION:
        return
    await connection.execute(_TABLES)
    await connection.execute(_MIGRATION)
    rows = await (await connection.execute(_UNNAMED)).fetchall()
    async with connection.cursor() as updates:
        await updates.executemany(
            _NAME, [(to_bytes(orjson.loads(stored)["id"]), job, position) for job, position, stored in rows]
        )
    await write_version(connection, "jobs", VERSION)


def to_bytes(document_id: str) -> bytes:
    """Return a document id as a column holds it: a text column cannot hold U+0000."""
    return document_id.encode()
