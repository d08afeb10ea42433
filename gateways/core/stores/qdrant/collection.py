"""One collection on a Qdrant server or cluster."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

from qdrant_client import AsyncQdrantClient, models

from gateways.core.backend import F16, F32, SparseVector
from gateways.core.profiles import Profile
from gateways.core.stores.base import Hit, Passage, StoredDocument, Vectors
from gateways.core.stores.filters import Condition
from gateways.core.stores.keys import passage_key, text_key
from gateways.core.stores.payloads import CONTINUATION, to_passage
from gateways.core.stores.qdrant import points
from gateways.core.stores.qdrant.calls import MAX_LATE_VALUES, points_per_read, split_by_size
from gateways.core.stores.qdrant.connection import POINTS_PER_CALL, CollectionConnection
from gateways.core.stores.qdrant.document_list import list_documents
from gateways.core.stores.qdrant.field_indexes import FieldIndexes
from gateways.core.stores.qdrant.filter import with_field
from gateways.core.stores.qdrant.search import QdrantSearch


class QdrantCollection:
    """The store sets `profile` when it reads its list of collections; `flush` counts the documents."""

    profile: Profile
    documents = 0

    def __init__(self, client: AsyncQdrantClient, name: str, server_name: str, *, is_server: bool) -> None:
        """`server_name` is the server's name of the collection. Without a server, the client has no indexes."""
        self.name = name
        self.server_name = server_name
        self._client = client
        self._connection = CollectionConnection(client, name, server_name)
        self._search = QdrantSearch(self._connection)
        self._fields = FieldIndexes(self._connection) if is_server else None

    async def replace(self, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        """Write the passages, then delete the surplus passages of their documents."""
        written = {str(passage_key(passage)) for passage in passages}
        continuations = points.continuation_filter({passage.document_id for passage in passages})
        records = await self._connection.scroll(continuations, with_payload=False)
        surplus = [record.id for record in records if str(record.id) not in written]
        await self.add(passages, vectors)
        if surplus:
            async with self._connection.mapped_errors():
                await self._client.delete(self.server_name, models.PointIdsList(points=surplus), wait=True)

    async def add(self, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        """
        Write passages, and leave the other passages of their documents. The server logs each write first.

        A passage with more token vectors than the server takes is stored without them.
        """
        stored = [
            row if row.late is None or row.late.size <= MAX_LATE_VALUES else row._replace(late=None)
            for row in vectors
        ]
        if self._fields:
            await self._fields.add(passage.metadata for passage in passages)
        for start, end in split_by_size(passages, stored):
            batch = [points.to_point(*pair) for pair in zip(passages[start:end], stored[start:end], strict=True)]
            async with self._connection.mapped_errors():
                await self._client.upsert(self.server_name, batch, wait=True)

    async def page(self, after: uuid.UUID | None, limit: int) -> list[tuple[uuid.UUID, Passage, Vectors]]:
        """Return the first passages whose keys are greater than `after`: `limit`, or fewer if they are large."""
        limit = min(limit, points_per_read(self.profile))
        async with self._connection.mapped_errors():
            # The server's offset is inclusive.
            records, _ = await self._client.scroll(
                self.server_name, limit=limit + 1, offset=after and str(after), with_payload=True, with_vectors=True
            )
        keyed = [(points.to_key(record.id), record) for record in records]
        return [
            (key, to_passage(record.payload), points.to_vectors(record.vector))
            for key, record in keyed
            if key != after
        ][:limit]

    async def search(
        self,
        dense: F32 | None,
        sparse: SparseVector | None,
        k: int,
        condition: Condition | None,
        min_score: float | None = None,
    ) -> list[Hit]:
        """Return the k best passages, best first."""
        return await self._search.search(dense, sparse, k, condition, min_score)

    async def scores(
        self, passages: Sequence[Passage], dense: F32 | None, sparse: SparseVector | None, late: F16 | None
    ) -> dict[str, F32]:
        """Return the scores of passages, as Collection.scores."""
        return await self._search.score(passages, dense, sparse, late)

    async def has_field(self, name: str) -> bool:
        """Return whether any passage has the field of a filter."""
        return bool(await self._connection.scroll(with_field(name), 1, with_payload=False, limit=1))

    async def document(self, document_id: str) -> list[Passage]:
        """Return the passages of a document in order; empty if there is no such document."""
        records = await self._connection.scroll(points.document_filter(document_id))
        return sorted((to_passage(record.payload) for record in records), key=lambda passage: passage.number)

    async def list_documents(self, after: str | None, limit: int) -> list[StoredDocument]:
        """Return documents in the order of their keys."""
        return await list_documents(self._connection, after, limit)

    async def delete(self, document_id: str) -> bool:
        """Delete a document, durably."""
        if not await self.document(document_id):
            return False
        selector = models.FilterSelector(filter=points.document_filter(document_id))
        async with self._connection.mapped_errors():
            await self._client.delete(self.server_name, selector, wait=True)
        await self.flush()
        return True

    async def stored_vectors(self, texts: Sequence[str]) -> Mapping[str, Vectors]:
        """Return the vectors of the texts that are passages already, by text."""
        stored: dict[str, Vectors] = {}
        wanted = set(texts)
        for start in range(0, len(texts), POINTS_PER_CALL):
            marks = [text_key(text) for text in texts[start : start + POINTS_PER_CALL]]
            batch = models.Filter(must=[points.marked(*marks)])
            # A text may be in any number of documents. A text beyond the limit is embedded once more.
            per_call = points_per_read(self.profile)
            for record in await self._connection.scroll(
                batch, per_call, with_vectors=True, limit=2 * POINTS_PER_CALL
            ):
                text = to_passage(record.payload).text
                if text in wanted and text not in stored:
                    stored[text] = points.to_vectors(record.vector)
        return stored

    async def flush(self) -> None:
        """Count the documents. Every write is durable already."""
        async with self._connection.mapped_errors():
            first_passages = models.Filter(must_not=[points.marked(CONTINUATION)])
            self.documents = (await self._client.count(self.server_name, first_passages, exact=True)).count
