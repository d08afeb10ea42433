"""Writes of passages to a shard, in calls that each hold the interpreter's lock for a moment only."""

from __future__ import annotations

from collections.abc import Sequence

import qdrant_edge as qdrant

from gateways.core.stores.base import Passage, Vectors
from gateways.core.stores.edge import points
from gateways.core.stores.edge.document_count import DocumentCount
from gateways.core.stores.edge.field_indexes import FieldIndexes
from gateways.core.stores.edge.shard import POINTS_PER_CALL, Shard

# The engine holds the interpreter's lock for over a millisecond for each point with token vectors, and no request is
# served meanwhile.
_TOKEN_POINTS_PER_CALL = 2


class PointWriter:
    """Writes passages to one shard. The caller excludes other writers."""

    def __init__(self, shard: Shard, fields: FieldIndexes, count: DocumentCount, *, tokens: bool) -> None:
        """`tokens` tells that passages have token vectors."""
        self._shard = shard
        self._fields = fields
        self._count = count
        self._points_per_call = _TOKEN_POINTS_PER_CALL if tokens else POINTS_PER_CALL

    async def write(self, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        """Write passages with their vectors, after the indexes of new fields of their metadata."""
        self._count.add_written(passage.document_id for passage in passages)
        # The passages of a document share their metadata.
        metadata = {id(passage.metadata): passage.metadata for passage in passages}
        await self._shard.call(self._fields.add, metadata.values(), background=True)
        for start in range(0, len(passages), self._points_per_call):
            end = start + self._points_per_call
            await self._shard.call(self._upsert, passages[start:end], vectors[start:end], background=True)

    def _upsert(self, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        pairs = zip(passages, vectors, strict=True)
        batch = [points.to_point(passage, row, self._shard.has_coarse) for passage, row in pairs]
        self._shard.engine.update(qdrant.UpdateOperation.upsert_points(batch))
