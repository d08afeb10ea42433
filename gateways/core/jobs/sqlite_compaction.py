"""Compaction of the SQLite journal: documents and changes that no job, retry or replay needs are erased."""

from __future__ import annotations

import sqlite3
from functools import partial

from gateways.core.jobs.sqlite_connection import SqliteConnection

# Jobs looked at in one transaction, and pages given back in one, so that ingests do not wait long for the journal.
JOBS_PER_STEP = 10
PAGES_PER_STEP = 1_000

# What a replay leaves out: documents that were deleted, or replaced by a later one, or never written.
_ERASE_DOCUMENTS = """
DELETE FROM documents WHERE (job, position) IN (
    SELECT old.job, old.position FROM documents AS old JOIN jobs AS old_job ON old_job.number = old.job
    WHERE old.job BETWEEN ?1 AND ?2 AND old_job.finished_at IS NOT NULL AND (
        (old.position >= old_job.processed AND old_job.status <> 'failed')
        OR EXISTS (
            SELECT 1 FROM changes
            WHERE changes.collection = old_job.collection AND changes.job > old.job
            AND (kind = 'delete_collection' OR (kind = 'delete_document' AND document = old.id))
        )
        OR (old.position < old_job.processed AND EXISTS (
            SELECT 1 FROM documents AS new JOIN jobs AS new_job ON new_job.number = new.job
            WHERE new.id = old.id AND new_job.collection = old_job.collection AND new.position < new_job.processed
            AND (new.job, new.position) > (old.job, old.position)
        ))
    )
)
"""
# Of the profiles of a collection only the last one counts. A deletion is needed while a job of before it may still
# write: `?1` is the first such job, `?2` the last change that was there before the documents were looked at.
_ERASE_CHANGES = (
    """
    DELETE FROM changes WHERE kind = 'put_collection' AND EXISTS (
        SELECT 1 FROM changes AS later
        WHERE later.collection = changes.collection AND later.number > changes.number
        AND later.kind <> 'delete_document'
    )
    """,
    "DELETE FROM changes WHERE number <= ?2 AND kind <> 'put_collection' AND job <= ?1",
)
_SPAN = "SELECT coalesce(min(job), 0), coalesce(max(job), 0) FROM documents"
_FIRST_OPEN = """
SELECT coalesce(min(number), 9223372036854775807) FROM jobs WHERE finished_at IS NULL OR status = 'failed'
"""


async def compact(connection: SqliteConnection) -> int:
    """Erase what no job, retry or replay needs, in small steps. Returns the number of erased documents."""
    engine = connection.engine
    first_open, last_change = await connection.call(lambda: _limits(engine))
    first, last = await connection.call(lambda: engine.execute(_SPAN).fetchone())
    erased = 0
    for start in range(first, last + 1, JOBS_PER_STEP):
        erased += await connection.call(partial(_erase_documents, engine, start))
    # In this order: the deletion of a collection is erased after the profiles that it ended.
    await connection.call(lambda: engine.execute(_ERASE_CHANGES[0]))
    await connection.call(lambda: engine.execute(_ERASE_CHANGES[1], (first_open, last_change)))
    if erased:
        await _give_back(connection)
    return erased


def _erase_documents(engine: sqlite3.Connection, start: int) -> int:
    return engine.execute(_ERASE_DOCUMENTS, (start, start + JOBS_PER_STEP - 1)).rowcount


def _limits(engine: sqlite3.Connection) -> tuple[int, int]:
    first_open: int = engine.execute(_FIRST_OPEN).fetchone()[0]
    last_change: int = engine.execute("SELECT coalesce(max(number), 0) FROM changes").fetchone()[0]
    return first_open, last_change


async def _give_back(connection: SqliteConnection) -> None:
    """Return free pages to the file system, and clear the log, which holds copies of erased pages."""
    engine = connection.engine
    while await connection.call(lambda: engine.execute("PRAGMA freelist_count").fetchone()[0]):
        before = await connection.call(lambda: engine.execute("PRAGMA page_count").fetchone()[0])
        # A script, because `execute` stops after the first page.
        await connection.call(lambda: engine.executescript(f"PRAGMA incremental_vacuum({PAGES_PER_STEP})"))
        if await connection.call(lambda: engine.execute("PRAGMA page_count").fetchone()[0]) == before:
            break  # a journal of before 2026-12 keeps its pages, and fills them again
    await connection.call(lambda: engine.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
