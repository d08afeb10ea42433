"""The list of documents of a shard."""

from __future__ import annotations

from typing import Any

import qdrant_edge as qdrant

from gateways.core.stores.base import StoredDocument
from gateways.core.stores.edge import points
from gateways.core.stores.edge.shard import Shard
from gateways.core.stores.keys import first_passage_key
from gateways.core.stores.payloads import METADATA


async def list_documents(shard: Shard, after: str | None, limit: int) -> list[StoredDocument]:
    """Return documents by the keys of their first passages, as Collection.list_documents."""
    return await shard.call(_list_documents, shard.engine, after, limit)


def _list_documents(engine: qdrant.EdgeShard, after: str | None, limit: int) -> list[StoredDocument]:
    offset = None if after is None else first_passage_key(after)
    # The engine's offset is inclusive.
    fields = ["document_id", METADATA]
    request = qdrant.ScrollRequest(offset=offset, limit=limit + 1, filter=points.FIRST_PASSAGES, with_payload=fields)
    records, _ = engine.scroll(request)
    payloads: list[dict[str, Any]] = [record.payload or {} for record in records if record.id != offset]
    return [_to_document(engine, payload) for payload in payloads[:limit]]


def _to_document(engine: qdrant.EdgeShard, payload: dict[str, Any]) -> StoredDocument:
    document_id = payload["document_id"]
    request = qdrant.CountRequest(exact=True, filter=points.document_filter(document_id))
    return StoredDocument(document_id, payload[METADATA], engine.count(request))
