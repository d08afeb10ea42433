"""One collection in PostgreSQL: a table of passages with their dense vectors, and one of their terms."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import orjson
import psycopg
from pgvector import Vector
from psycopg import sql
from psycopg.types.json import Jsonb

from gateways.core.backend import F16, F32, SparseVector
from gateways.core.maxsim import maxsim
from gateways.core.postgres import Connection, Database
from gateways.core.profiles import Profile
from gateways.core.stores import pg_tables
from gateways.core.stores.base import FUSED, CollectionGone, Hit, Passage, Vectors
from gateways.core.stores.filters import Condition
from gateways.core.stores.identity import document_key, passage_key, text_key
from gateways.core.stores.pg_filter import sayable, translate
from gateways.core.stores.ranked import TIED, Ranked, best_first, fused

_DENSE = """
SELECT id, 1 - (dense <=> %s) FROM {passages} WHERE {where} ORDER BY dense <=> %s LIMIT %s
"""
# BM25 as the other store has it (Robertson & Zaragoza 2009): a term's weight is the passage's times the query's, and
# where the collection says so, times how rare the term is among its passages.
_WEIGHED = """
SELECT its.passage AS id, sum(its.weight * asked.weight)::float8 AS score
FROM {terms} its JOIN (
    SELECT term, weight * CASE WHEN %s THEN ln(1 + (%s - held + 0.5) / (held + 0.5)) ELSE 1 END AS weight
    FROM unnest(%s::bigint[], %s::float8[]) AS given (term, weight)
    CROSS JOIN LATERAL (SELECT count(*)::float8 AS held FROM {terms} WHERE {terms}.term = given.term) AS known
) asked USING (term)
"""
_SPARSE = f"""
SELECT id, score FROM ({_WEIGHED} GROUP BY its.passage) found JOIN {{passages}} USING (id)
WHERE {{where}} ORDER BY score DESC, id LIMIT %s
"""  # noqa: S608 # nosec B608 our own words
_SPARSE_OF = _WEIGHED + "WHERE its.passage = ANY(%s) GROUP BY its.passage"
_STORED = """
passage, dense, tokens,
    (SELECT array_agg(term ORDER BY term) FROM {terms} WHERE {terms}.passage = {passages}.id),
    (SELECT array_agg(weight ORDER BY term) FROM {terms} WHERE {terms}.passage = {passages}.id)
"""
_KNOWN = f"""
SELECT DISTINCT ON (text_key) {_STORED} FROM {{passages}} WHERE text_key = ANY(%s) ORDER BY text_key
"""  # noqa: S608 # nosec B608 our own words
_PAGE = f"""
SELECT id, {_STORED} FROM {{passages}} WHERE id > %s ORDER BY id LIMIT %s
"""  # noqa: S608 # nosec B608 our own words
_INSERT = """
INSERT INTO {passages} (id, document, number, text_key, passage, metadata, dense, tokens)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
"""
_INSERT_TERMS = "INSERT INTO {terms} SELECT * FROM unnest(%s::bigint[], %s::uuid[], %s::real[])"


class PgCollection:
    """`profile`, `documents` and `passages` are as its store read them last."""

    profile: Profile
    documents = passages = 0

    def __init__(self, database: Database, number: int, name: str) -> None:
        self._database = database
        self.number = number
        self.name = name
        self._tables = pg_tables.names(number)

    async def replace(self, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        """Write the passages in place of all that their documents had, durably."""
        documents = {one.document_id for one in passages}
        async with self._changing() as connection:
            await self._forget(connection, "document", [document_key(one) for one in documents])
            await self._write(connection, passages, vectors)

    async def add(self, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        """Write passages, each in place of itself, durably."""
        async with self._changing() as connection:
            await self._forget(connection, "id", [passage_key(one) for one in passages])
            await self._write(connection, passages, vectors)

    async def page(self, after: uuid.UUID | None, limit: int) -> list[tuple[uuid.UUID, Passage, Vectors]]:
        """Return the first passages whose keys come after one."""
        async with self._reading() as connection:
            found = await connection.execute(self._sql(_PAGE), (after or uuid.UUID(int=0), limit))
            rows = await found.fetchall()
        return [(key, _passage(stored), self._vectors(*rest)) for key, stored, *rest in rows]

    async def search(
        self,
        dense: F32 | None,
        sparse: SparseVector | None,
        k: int,
        where: Condition | None,
        min_score: float | None = None,
    ) -> list[Hit]:
        """Return the k best passages, best first."""
        async with self._reading() as connection:
            if dense is not None and sparse is not None:
                deep = max(k, FUSED)
                by_dense = await self._ranked(connection, dense, None, deep, where)
                by_sparse = await self._ranked(connection, None, sparse, deep, where)
                ranked = fused((by_dense, by_sparse), k)
            else:
                ranked = await self._ranked(connection, dense, sparse, k, where)
            ranked = [(one, score) for one, score in ranked if min_score is None or score >= min_score]
            select = self._sql("SELECT id, passage FROM {passages} WHERE id = ANY(%s)")
            found = await connection.execute(select, ([one for one, _ in ranked],))
            held = dict(await found.fetchall())
        # What is missing was deleted meanwhile.
        return [Hit(_passage(held[one]), score) for one, score in ranked if one in held]

    async def scores(
        self, passages: Sequence[Passage], dense: F32 | None, sparse: SparseVector | None, late: F16 | None
    ) -> dict[str, F32]:
        """Score passages as Collection says."""
        keys = [passage_key(one) for one in passages]
        found: dict[str, Mapping[uuid.UUID, float]] = {}
        async with self._reading() as connection:
            if dense is not None:
                select = self._sql("SELECT id, 1 - (dense <=> %s) FROM {passages} WHERE id = ANY(%s)")
                found["dense"] = dict(await (await connection.execute(select, (Vector(dense), keys))).fetchall())
            if sparse is not None:
                values = (*self._asked(sparse), keys)
                found["sparse"] = dict(await (await connection.execute(self._sql(_SPARSE_OF), values)).fetchall())
            if late is not None:
                select = self._sql("SELECT id, tokens FROM {passages} WHERE id = ANY(%s) AND tokens IS NOT NULL")
                held = await (await connection.execute(select, (keys,))).fetchall()
                found["late"] = self._interact(late, dict(held))
        return {
            kind: np.array([scores.get(key, 0.0) for key in keys], dtype=np.float32) for kind, scores in found.items()
        }

    async def document(self, document_id: str) -> list[Passage]:
        """Return the passages of a document in order; empty when there is none."""
        select = self._sql("SELECT passage FROM {passages} WHERE document = %s ORDER BY number")
        async with self._reading() as connection:
            found = await (await connection.execute(select, (document_key(document_id),))).fetchall()
        return [_passage(stored) for (stored,) in found]

    async def delete(self, document_id: str) -> bool:
        """Forget a document, durably."""
        async with self._changing() as connection:
            return await self._forget(connection, "document", [document_key(document_id)]) > 0

    async def known(self, texts: Sequence[str]) -> Mapping[str, Vectors]:
        """Return the vectors of those texts that are passages already."""
        async with self._reading() as connection:
            found = await connection.execute(self._sql(_KNOWN), ([text_key(text) for text in texts],))
            rows = await found.fetchall()
        known = {_passage(stored).text: self._vectors(*rest) for stored, *rest in rows}
        return {text: known[text] for text in set(texts) if text in known}

    async def flush(self) -> None:
        """Do nothing: what is written is durable."""

    async def _ranked(
        self, connection: Connection, dense: F32 | None, sparse: SparseVector | None, k: int, where: Condition | None
    ) -> list[Ranked]:
        """Return the k best by one vector; of equal ones always the same."""
        test, values = translate(where)
        if sparse is None:
            assert dense is not None  # noqa: S101 a search is by one of them
            asked = [Vector(dense), *values, Vector(dense), k + TIED]
            found = await connection.execute(self._sql(_DENSE, where=test), asked)
        else:
            found = await connection.execute(
                self._sql(_SPARSE, where=test), [*self._asked(sparse), *values, k + TIED]
            )
        return sorted(await found.fetchall(), key=best_first)[:k]

    def _asked(self, sparse: SparseVector) -> tuple[bool, int, list[int], list[float]]:
        return self.profile.idf, self.passages, sparse.indices.tolist(), sparse.values.tolist()

    def _interact(self, late: F16, held: Mapping[uuid.UUID, bytes]) -> dict[uuid.UUID, float]:
        if not held:
            return {}
        tokens = [self._tokens(stored).astype(np.float32) for stored in held.values()]
        return dict(zip(held, maxsim(late.astype(np.float32), tokens).tolist(), strict=True))

    def _tokens(self, stored: bytes) -> F16:
        return np.frombuffer(stored, np.float16).reshape(-1, self.profile.dimensions)

    def _vectors(
        self, dense: Any, tokens: bytes | None, terms: list[int] | None, weights: list[float] | None
    ) -> Vectors:
        vector = np.asarray(dense.to_numpy() if isinstance(dense, Vector) else dense, np.float32)
        sparse = SparseVector(np.array(terms or [], np.uint32), np.array(weights or [], np.float32))
        return Vectors(vector, sparse, None if tokens is None else self._tokens(tokens))

    async def _write(self, connection: Connection, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        """Insert passages that are not there; a document counts by its first one."""
        rows = [_row(one, its) for one, its in zip(passages, vectors, strict=True)]
        async with connection.cursor() as cursor:
            await cursor.executemany(self._sql(_INSERT), rows)
        await connection.execute(self._sql(_INSERT_TERMS), _terms(passages, vectors))
        await self._count(connection, [one.number for one in passages].count(0), len(passages))

    async def _forget(self, connection: Connection, column: str, keys: list[uuid.UUID]) -> int:
        """Delete the passages with one of these keys in a column; how many documents' first ones were among them."""
        statement = "DELETE FROM {passages} WHERE {column} = ANY(%s) RETURNING number"
        delete = self._sql(statement, column=sql.Identifier(column))
        gone = await (await connection.execute(delete, (keys,))).fetchall()
        firsts = [number for (number,) in gone].count(0)
        await self._count(connection, -firsts, -len(gone))
        return firsts

    async def _count(self, connection: Connection, documents: int, passages: int) -> None:
        update = """
            UPDATE gateway_collections SET documents = documents + %s, passages = passages + %s WHERE number = %s
            RETURNING documents, passages
        """
        row = await (await connection.execute(update, (documents, passages, self.number))).fetchone()
        assert row  # noqa: S101 it is locked
        self.documents, self.passages = row

    @asynccontextmanager
    async def _reading(self) -> AsyncIterator[Connection]:
        try:
            async with self._database.connection() as connection:
                yield connection
        except psycopg.errors.UndefinedTable:
            raise self._gone() from None

    @asynccontextmanager
    async def _changing(self) -> AsyncIterator[Connection]:
        """Lend a connection for a transaction in which nobody else changes this collection."""
        async with self._database.transaction() as connection:
            select = "SELECT FROM gateway_collections WHERE number = %s FOR UPDATE"
            if not (await connection.execute(select, (self.number,))).rowcount:
                raise self._gone()
            yield connection

    def _sql(self, text: str, **parts: sql.Composable) -> sql.Composed:
        return sql.SQL(text).format(**self._tables, **parts)

    def _gone(self) -> CollectionGone:
        return CollectionGone(f"collection {self.name!r} was deleted meanwhile.", param="collection")


def _row(one: Passage, its: Vectors) -> tuple[Any, ...]:
    return (
        passage_key(one),
        document_key(one.document_id),
        one.number,
        text_key(one.text),
        orjson.dumps(dataclasses.asdict(one)),
        Jsonb(sayable(one.metadata), dumps=orjson.dumps),
        Vector(its.dense),
        None if its.late is None else its.late.astype(np.float16).tobytes(),
    )


def _terms(passages: Sequence[Passage], vectors: Sequence[Vectors]) -> tuple[list[int], list[uuid.UUID], list[float]]:
    """Return the terms of all passages, one after the other: which, whose, and how much they weigh."""
    terms: list[int] = []
    keys: list[uuid.UUID] = []
    weights: list[float] = []
    for one, its in zip(passages, vectors, strict=True):
        terms += its.sparse.indices.tolist()
        weights += its.sparse.values.tolist()
        keys += [passage_key(one)] * len(its.sparse.indices)
    return terms, keys, weights


def _passage(stored: bytes) -> Passage:
    return Passage(**orjson.loads(stored))
