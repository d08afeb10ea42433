"""The list of documents in the tables of a collection."""

from __future__ import annotations

import uuid

from gateways.core.stores.base import StoredDocument
from gateways.core.stores.keys import first_passage_key
from gateways.core.stores.pgvector.rows import to_passage
from gateways.core.stores.pgvector.tables import CollectionTables

_LIST = """
SELECT passage, (SELECT count(*) FROM {passages} others WHERE others.document = listed.document)
FROM {passages} listed WHERE number = 0 AND id > %s ORDER BY id LIMIT %s
"""


async def list_documents(tables: CollectionTables, after: str | None, limit: int) -> list[StoredDocument]:
    """Return documents by the keys of their first passages, as Collection.list_documents."""
    key = uuid.UUID(int=0) if after is None else first_passage_key(after)
    async with tables.reading() as connection:
        rows = await (await connection.execute(tables.statement(_LIST), (key, limit))).fetchall()
    passages = [(to_passage(column), count) for column, count in rows]
    return [StoredDocument(passage.document_id, passage.metadata, count) for passage, count in passages]
