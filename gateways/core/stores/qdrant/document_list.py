"""The list of documents of a collection of a server."""

from __future__ import annotations

from collections import Counter

from qdrant_client import models

from gateways.core.stores.base import StoredDocument
from gateways.core.stores.keys import first_passage_key
from gateways.core.stores.payloads import CONTINUATION, METADATA
from gateways.core.stores.qdrant import points
from gateways.core.stores.qdrant.connection import CollectionConnection


async def list_documents(connection: CollectionConnection, after: str | None, limit: int) -> list[StoredDocument]:
    """Return documents by the keys of their first passages, as Collection.list_documents."""
    offset = None if after is None else str(first_passage_key(after))
    first_passages = models.Filter(must_not=[points.marked(CONTINUATION)])
    async with connection.mapped_errors():
        # The server's offset is inclusive.
        records, _ = await connection.client.scroll(
            connection.server_name,
            first_passages,
            limit + 1,
            offset=offset,
            with_payload=["document_id", METADATA],
        )
    payloads = [record.payload or {} for record in records if str(record.id) != offset][:limit]
    continuations = points.continuation_filter({payload["document_id"] for payload in payloads})
    surplus = Counter(
        (record.payload or {})["document_id"]
        for record in await connection.scroll(continuations, with_payload=["document_id"])
    )
    return [
        StoredDocument(payload["document_id"], payload[METADATA], 1 + surplus[payload["document_id"]])
        for payload in payloads
    ]
