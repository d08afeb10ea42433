"""The tables of the store in PostgreSQL: one of collections, and two for each collection."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import psycopg
from pgvector.psycopg import register_vector_async
from psycopg import sql

from gateways.core.persistence.postgres import Connection, Database, read_version, write_version
from gateways.core.persistence.versions import check_version
from gateways.core.profiles import Profile
from gateways.core.stores.base import CollectionGone

# Version 0 is every database before 2026-12; its tables are those of version 1. Version 2 adds `vector_source`, apart
# from `profile`: gateways of version 1 at the same database refuse a profile with a field that they do not know.
# Version 3 adds the indexes of metadata and of first passages.
VERSION = 3
_TABLES = """
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE IF NOT EXISTS gateway_collections (
    number serial PRIMARY KEY,
    name text NOT NULL UNIQUE,
    profile jsonb NOT NULL,
    documents bigint NOT NULL DEFAULT 0,
    passages bigint NOT NULL DEFAULT 0
);
ALTER TABLE gateway_collections ADD COLUMN IF NOT EXISTS vector_source jsonb;
"""
# Answers come from `passage`, JSON in bytes, because a text column cannot hold U+0000. Filters test `metadata`.
_PASSAGES = """
CREATE TABLE {passages} (
    id uuid PRIMARY KEY,
    document uuid NOT NULL,
    number integer NOT NULL,
    text_key text NOT NULL,
    passage bytea NOT NULL,
    metadata jsonb NOT NULL,
    dense vector({dimensions}) NOT NULL,
    tokens bytea
);
CREATE INDEX ON {passages} (document, number);
CREATE INDEX ON {passages} (text_key);
CREATE TABLE {terms} (
    term bigint NOT NULL,
    passage uuid NOT NULL REFERENCES {passages} ON DELETE CASCADE,
    weight real NOT NULL,
    PRIMARY KEY (term, passage)
);
CREATE INDEX ON {terms} (passage);
"""
# It answers `@>`, whatever the fields are.
_METADATA_INDEX = "CREATE INDEX IF NOT EXISTS {index} ON {passages} USING gin (metadata jsonb_path_ops)"
# The list of documents passes over their other passages.
_DOCUMENT_INDEX = "CREATE INDEX IF NOT EXISTS {index} ON {passages} (id) WHERE number = 0"
_DENSE_INDEX = "CREATE INDEX ON {passages} USING hnsw (dense vector_cosine_ops)"
# The limit of pgvector for an index of the type `vector`.
MAX_INDEXED_DIMENSIONS = 2_000
# The index yields 200 candidates first, and more if a filter leaves too few. A plan for all values of a statement
# would not know how many passages a filter keeps.
_SEARCH_OPTIONS = """
SET hnsw.ef_search = 200;
SET hnsw.iterative_scan = 'strict_order';
SET plan_cache_mode = force_custom_plan
"""


async def open_schema(connection: Connection) -> None:
    """Create the missing tables. Raises NewerVersion."""
    version = await read_version(connection, "store")
    check_version("the store at DATABASE_URL", version, VERSION)
    if version < VERSION:
        await connection.execute(_TABLES)
        for (number,) in await (await connection.execute("SELECT number FROM gateway_collections")).fetchall():
            await _index_passages(connection, number)
        await write_version(connection, "store", VERSION)


async def prepare(connection: Connection) -> None:
    """Register the vector type with a connection, and set the options of the index."""
    await register_vector_async(connection)
    await connection.execute(_SEARCH_OPTIONS)
    if not connection.autocommit:
        await connection.commit()


class CollectionTables:
    """The tables of one collection. Statements raise CollectionGone once it is deleted."""

    def __init__(self, database: Database, number: int, collection: str) -> None:
        self._database = database
        self._number = number
        self._collection = collection
        self._names = names(number)

    def statement(self, text: str, **parts: sql.Composable) -> sql.Composed:
        """Return a statement in which `{passages}` and `{terms}` are the tables of this collection."""
        return sql.SQL(text).format(**self._names, **parts)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[Connection]:
        """Lend a connection, each statement a transaction."""
        try:
            async with self._database.connection() as connection:
                yield connection
        except psycopg.errors.UndefinedTable:
            raise self._gone() from None

    @asynccontextmanager
    async def changing(self) -> AsyncIterator[Connection]:
        """Lend a connection in a transaction that holds the row lock of this collection."""
        async with self._database.transaction() as connection:
            select = "SELECT FROM gateway_collections WHERE number = %s FOR UPDATE"
            if not (await connection.execute(select, (self._number,))).rowcount:
                raise self._gone()
            yield connection

    def _gone(self) -> CollectionGone:
        return CollectionGone(f"collection {self._collection!r} was deleted meanwhile.", param="collection")


def names(number: int) -> dict[str, sql.Identifier]:
    """Return the tables of a collection by the kind of their rows."""
    return {kind: sql.Identifier(f"gateway_{kind}_{number}") for kind in ("passages", "terms")}


async def create(connection: Connection, number: int, profile: Profile) -> None:
    """Create the tables of a collection."""
    tables = names(number)
    await connection.execute(sql.SQL(_PASSAGES).format(**tables, dimensions=sql.Literal(profile.dimensions)))
    await _index_passages(connection, number)
    if profile.dimensions <= MAX_INDEXED_DIMENSIONS:
        await connection.execute(sql.SQL(_DENSE_INDEX).format(**tables))


async def _index_passages(connection: Connection, number: int) -> None:
    for kind, statement in (("metadata", _METADATA_INDEX), ("documents", _DOCUMENT_INDEX)):
        index = sql.Identifier(f"gateway_{kind}_{number}")
        await connection.execute(sql.SQL(statement).format(**names(number), index=index))


async def drop(connection: Connection, number: int) -> None:
    """Drop the tables of a collection."""
    await connection.execute(sql.SQL("DROP TABLE IF EXISTS {terms}, {passages}").format(**names(number)))
