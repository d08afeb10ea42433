"""The tables of the journal in SQLite, and their migration from earlier versions."""

from __future__ import annotations

import logging
import sqlite3
from pathlib import Path

from gateways.core.persistence.versions import check_version

log = logging.getLogger(__name__)

# The journal's `user_version`. Version 0 is every journal before 2026-12.
VERSION = 1
# The pages of erased documents are overwritten with zeros, and can be given back to the file system.
_OPTIONS = """
PRAGMA auto_vacuum = INCREMENTAL;
PRAGMA secure_delete = ON;
PRAGMA journal_mode = WAL;
PRAGMA synchronous = FULL;
PRAGMA cache_size = -256; -- KiB. A journal is read once, in order.
"""
_TABLES = """
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
    finished_at REAL,
    isolated INTEGER NOT NULL DEFAULT 0,
    turn INTEGER -- The place in the queue of a job that is tried again. Without one it is the number.
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
CREATE INDEX IF NOT EXISTS document_ids ON documents (id);
-- A change came before document `position` of job `job`: see `gateways.core.jobs.base.Change`.
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
CREATE INDEX IF NOT EXISTS deletions ON changes (collection, document, job) WHERE kind = 'delete_document';
"""


def open_schema(engine: sqlite3.Connection, path: Path) -> None:
    """Create the missing tables, and migrate those of an earlier version. Raises NewerVersion, sqlite3.Error."""
    engine.executescript(_OPTIONS)
    version = engine.execute("PRAGMA user_version").fetchone()[0]
    check_version(f"the job journal {path}", version, VERSION)
    if version == VERSION:
        return
    if engine.execute("SELECT count(*) FROM sqlite_schema").fetchone()[0]:
        log.warning("the job journal %s is migrated from version %d to %d", path, version, VERSION)
    # One transaction: a process that is killed meanwhile leaves the old version. executescript would commit it.
    engine.execute("BEGIN IMMEDIATE")
    for statement in _TABLES.split(";"):
        engine.execute(statement)
    columns = {row[1] for row in engine.execute("PRAGMA table_info(jobs)")}
    added = {"chunk": "TEXT", "turn": "INTEGER", "isolated": "INTEGER NOT NULL DEFAULT 0"}
    for column, kind in added.items():
        if column not in columns:
            engine.execute(f"ALTER TABLE jobs ADD COLUMN {column} {kind}")
    engine.execute(f"PRAGMA user_version = {VERSION}")
    engine.execute("COMMIT")
