"""One collection in PostgreSQL: a table of passages with their dense vectors, and a table of their terms."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from psycopg import sql

from gateways.core.backend import F16, F32, SparseVector
from gateways.core.persistence.postgres import Connection, Database
from gateways.core.profiles import Profile
from gateways.core.stores.base import Hit, Passage, StoredDocument, Vectors
from gateways.core.stores.filters import Condition
from gateways.core.stores.keys import document_key, passage_key, text_key
from gateways.core.stores.pgvector.document_list import list_documents
from gateways.core.stores.pgvector.filter import with_field
from gateways.core.stores.pgvector.rows import passage_row, term_columns, to_passage, to_vectors
from gateways.core.stores.pgvector.search import PgSearch, TermQuery
from gateways.core.stores.pgvector.tables import CollectionTables

_STORED = """
passage, dense, tokens,
    (SELECT array_agg(term ORDER BY term) FROM {terms} WHERE {terms}.passage = {passages}.id),
    (SELECT array_agg(weight ORDER BY term) FROM {terms} WHERE {terms}.passage = {passages}.id)
"""
_BY_TEXT = f"""
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
    """The store sets `profile`, `documents` and `passages` when it reads its list of collections."""

    profile: Profile
    documents = passages = 0

    def __init__(self, database: Database, number: int, name: str) -> None:
        self.number = number
        self.name = name
        self._tables = CollectionTables(database, number, name)
        self._search = PgSearch(self._tables)

    async def replace(self, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        """Replace all passages of the documents, durably."""
        documents = {passage.document_id for passage in passages}
        async with self._tables.changing() as connection:
            await self._delete(connection, "document", [document_key(document) for document in documents])
            await self._insert(connection, passages, vectors)

    async def add(self, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        """Write passages, durably, and leave the other passages of their documents."""
        async with self._tables.changing() as connection:
            await self._delete(connection, "id", [passage_key(passage) for passage in passages])
            await self._insert(connection, passages, vectors)

    async def page(self, after: uuid.UUID | None, limit: int) -> list[tuple[uuid.UUID, Passage, Vectors]]:
        """Return the first `limit` passages whose keys are greater than `after`."""
        async with self._tables.reading() as connection:
            cursor = await connection.execute(self._tables.statement(_PAGE), (after or uuid.UUID(int=0), limit))
            rows = await cursor.fetchall()
        dimensions = self.profile.dimensions
        return [(key, to_passage(passage), to_vectors(dimensions, *columns)) for key, passage, *columns in rows]

    async def search(
        self,
        dense: F32 | None,
        sparse: SparseVector | None,
        k: int,
        condition: Condition | None,
        min_score: float | None = None,
    ) -> list[Hit]:
        """Return the k best passages, best first."""
        return await self._search.search(dense, self._to_term_query(sparse), k, condition, min_score)

    async def scores(
        self, passages: Sequence[Passage], dense: F32 | None, sparse: SparseVector | None, late: F16 | None
    ) -> dict[str, F32]:
        """Return the scores of passages, as Collection.scores."""
        return await self._search.score(passages, dense, self._to_term_query(sparse), late)

    async def has_field(self, name: str) -> bool:
        """Return whether any passage has the field of a filter."""
        test, values = with_field(name)
        select = self._tables.statement("SELECT EXISTS (SELECT FROM {passages} WHERE {test})", test=test)
        async with self._tables.reading() as connection:
            row = await (await connection.execute(select, values)).fetchone()
        return bool(row and row[0])

    async def document(self, document_id: str) -> list[Passage]:
        """Return the passages of a document in order; empty if there is no such document."""
        select = self._tables.statement("SELECT passage FROM {passages} WHERE document = %s ORDER BY number")
        async with self._tables.reading() as connection:
            rows = await (await connection.execute(select, (document_key(document_id),))).fetchall()
        return [to_passage(column) for (column,) in rows]

    async def list_documents(self, after: str | None, limit: int) -> list[StoredDocument]:
        """Return documents in the order of their keys."""
        return await list_documents(self._tables, after, limit)

    async def delete(self, document_id: str) -> bool:
        """Delete a document, durably."""
        async with self._tables.changing() as connection:
            return await self._delete(connection, "document", [document_key(document_id)]) > 0

    async def stored_vectors(self, texts: Sequence[str]) -> Mapping[str, Vectors]:
        """Return the vectors of the texts that are passages already, by text."""
        async with self._tables.reading() as connection:
            keys = [text_key(text) for text in texts]
            rows = await (await connection.execute(self._tables.statement(_BY_TEXT), (keys,))).fetchall()
        dimensions = self.profile.dimensions
        stored = {to_passage(passage).text: to_vectors(dimensions, *columns) for passage, *columns in rows}
        return {text: stored[text] for text in set(texts) if text in stored}

    async def flush(self) -> None:
        """Return at once: every write is durable."""

    def _to_term_query(self, sparse: SparseVector | None) -> TermQuery | None:
        if sparse is None:
            return None
        return TermQuery(self.profile.idf, self.passages, sparse.indices.tolist(), sparse.values.tolist())

    async def _insert(self, connection: Connection, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        """Insert passages, none of which exists. Each first passage counts as a document."""
        rows = [passage_row(passage, row) for passage, row in zip(passages, vectors, strict=True)]
        async with connection.cursor() as cursor:
            await cursor.executemany(self._tables.statement(_INSERT), rows)
        await connection.execute(self._tables.statement(_INSERT_TERMS), term_columns(passages, vectors))
        await self._add_counts(connection, [passage.number for passage in passages].count(0), len(passages))

    async def _delete(self, connection: Connection, column: str, keys: list[uuid.UUID]) -> int:
        """Delete the passages with one of the keys in a column. Returns how many were the first of a document."""
        delete = self._tables.statement(
            "DELETE FROM {passages} WHERE {column} = ANY(%s) RETURNING number", column=sql.Identifier(column)
        )
        rows = await (await connection.execute(delete, (keys,))).fetchall()
        documents = [number for (number,) in rows].count(0)
        await self._add_counts(connection, -documents, -len(rows))
        return documents

    async def _add_counts(self, connection: Connection, documents: int, passages: int) -> None:
        update = """
            UPDATE gateway_collections SET documents = documents + %s, passages = passages + %s WHERE number = %s
            RETURNING documents, passages
        """
        row = await (await connection.execute(update, (documents, passages, self.number))).fetchone()
        assert row  # noqa: S101 the row is locked
        self.documents, self.passages = row
