"""The tables of the store in PostgreSQL: one of collections, and two for each of them."""

from __future__ import annotations

from pgvector.psycopg import register_vector_async
from psycopg import sql

from gateways.core.postgres import Connection
from gateways.core.profiles import Profile

SCHEMA = """
CREATE EXTENSION IF NOT EXISTS vector;
CREATE TABLE IF NOT EXISTS gateway_collections (
    number serial PRIMARY KEY,
    name text NOT NULL UNIQUE,
    profile jsonb NOT NULL,
    documents bigint NOT NULL DEFAULT 0,
    passages bigint NOT NULL DEFAULT 0
);
"""
# `passage` is all that is answered, as JSON in bytes, for text here may not have every sign; `metadata` is what
# filters test. The vector's type has no index for more dimensions.
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
_NEAREST = "CREATE INDEX ON {passages} USING hnsw (dense vector_cosine_ops)"
MOST_INDEXED_DIMENSIONS = 2_000
# So many candidates of the index are looked at first, and more where a filter leaves too few.
_SEARCHING = "SET hnsw.ef_search = 200; SET hnsw.iterative_scan = 'strict_order'"


async def prepare(connection: Connection) -> None:
    """Make a connection know vectors, and search as it should."""
    await register_vector_async(connection)
    await connection.execute(_SEARCHING)
    if not connection.autocommit:
        await connection.commit()


def names(number: int) -> dict[str, sql.Identifier]:
    """Return the tables of a collection by what is in them."""
    return {kind: sql.Identifier(f"gateway_{kind}_{number}") for kind in ("passages", "terms")}


async def create(connection: Connection, number: int, profile: Profile) -> None:
    """Make the tables of a collection."""
    tables = names(number)
    await connection.execute(sql.SQL(_PASSAGES).format(**tables, dimensions=sql.Literal(profile.dimensions)))
    if profile.dimensions <= MOST_INDEXED_DIMENSIONS:
        await connection.execute(sql.SQL(_NEAREST).format(**tables))


async def drop(connection: Connection, number: int) -> None:
    """Drop the tables of a collection with all in them."""
    await connection.execute(sql.SQL("DROP TABLE IF EXISTS {terms}, {passages}").format(**names(number)))
