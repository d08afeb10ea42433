"""One collection of the embedded store: a folder with a shard of the Qdrant engine and the profile."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import orjson
import qdrant_edge as qdrant

from gateways.core.backend import F16, F32, SparseVector
from gateways.core.host import memory
from gateways.core.persistence.atomic_files import write
from gateways.core.profiles import Profile, parse_profile
from gateways.core.stores.base import CollectionDamaged, Hit, Passage, StoredDocument, Vectors
from gateways.core.stores.edge import points
from gateways.core.stores.edge import shard as edge_shard
from gateways.core.stores.edge.document_count import COUNT, DocumentCount
from gateways.core.stores.edge.document_list import list_documents
from gateways.core.stores.edge.field_indexes import FieldIndexes
from gateways.core.stores.edge.search import EdgeSearch
from gateways.core.stores.edge.shard import POINTS_PER_CALL, Shard
from gateways.core.stores.edge.writer import PointWriter
from gateways.core.stores.filters import Condition
from gateways.core.stores.keys import passage_key
from gateways.core.stores.payloads import to_passage

PROFILE = "collection.json"


class EdgeCollection:
    """A folder with a shard and a profile. The profile is written last: a folder without it is incomplete."""

    def __init__(self, path: Path, shard: Shard, profile: Profile) -> None:
        self._path = path
        self._shard = shard
        fields = FieldIndexes(path, shard)
        self._search = EdgeSearch(shard, fields)
        self._profile = profile
        # Held while points are written, and while a document is read.
        self._writing = asyncio.Lock()
        self._count = DocumentCount(path, shard.count_documents())
        self._writer = PointWriter(shard, fields, self._count, tokens=profile.late_interaction)

    @property
    def name(self) -> str:
        """Return the name of the collection, which is that of its folder."""
        return self._path.name

    @property
    def profile(self) -> Profile:
        """Return the retrieval profile."""
        return self._profile

    @property
    def documents(self) -> int:
        """Return the number of documents at the last `flush` or `delete`."""
        return self._count.documents

    async def replace(self, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        """Write the passages, then delete the surplus passages of their documents."""
        written = {passage_key(passage) for passage in passages}
        continuations = points.continuation_filter({passage.document_id for passage in passages})
        async with self._writing:
            records = await self._shard.scroll(continuations, with_payload=False)
            surplus = [record.id for record in records if record.id not in written]
            await self._writer.write(passages, vectors)
            if surplus:
                await self._shard.call(self._shard.engine.update, qdrant.UpdateOperation.delete_points(surplus))

    async def add(self, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        """Write passages, and leave the other passages of their documents."""
        async with self._writing:
            await self._writer.write(passages, vectors)

    async def page(self, after: uuid.UUID | None, limit: int) -> list[tuple[uuid.UUID, Passage, Vectors]]:
        """Return the first `limit` passages whose keys are greater than `after`."""
        # The engine's offset is inclusive.
        request = qdrant.ScrollRequest(offset=after, limit=limit + 1, with_payload=True, with_vector=True)
        records, _ = await self._shard.call(self._shard.engine.scroll, request)
        return [
            (cast(uuid.UUID, record.id), to_passage(record.payload), points.to_vectors(record.vector))
            for record in records
            if record.id != after
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
        return await self._search.has_field(name)

    async def document(self, document_id: str) -> list[Passage]:
        """Return the passages of a document in order, all of one version."""
        async with self._writing:
            records = await self._shard.scroll(points.document_filter(document_id))
        return sorted((to_passage(record.payload) for record in records), key=lambda passage: passage.number)

    async def list_documents(self, after: str | None, limit: int) -> list[StoredDocument]:
        """Return documents in the order of their keys."""
        return await list_documents(self._shard, after, limit)

    async def document_ids(self) -> set[str]:
        """Return the ids of all documents."""
        records = await self._shard.scroll(points.FIRST_PASSAGES, with_payload=["document_id"])
        return {str((record.payload or {})["document_id"]) for record in records}

    async def delete(self, document_id: str) -> bool:
        """Delete a document, durably."""
        if not await self.document(document_id):
            return False
        operation = qdrant.UpdateOperation.delete_points_by_filter(points.document_filter(document_id))
        async with self._writing:
            await self._shard.call(self._shard.engine.update, operation)
        await self.flush()
        return True

    async def stored_vectors(self, texts: Sequence[str]) -> Mapping[str, Vectors]:
        """Return the vectors of the texts that are passages already, by text."""
        stored: dict[str, Vectors] = {}
        wanted = set(texts)
        for start in range(0, len(texts), POINTS_PER_CALL):
            batch = points.text_filter(texts[start : start + POINTS_PER_CALL])
            # A text may be in any number of documents. A text beyond the limit is embedded once more.
            for record in await self._shard.scroll(batch, with_vector=True, limit=2 * POINTS_PER_CALL):
                text = to_passage(record.payload).text
                if text in wanted and text not in stored:
                    stored[text] = points.to_vectors(record.vector)
        return stored

    async def flush(self) -> None:
        """Return once every write is on disk."""
        async with self._writing:
            await self._shard.call(self._count.flush, self._shard)

    async def change_profile(self, profile: Profile) -> bool:
        """Change the profile, but the source of stored vectors, durably. Returns False if it needs other vectors."""
        async with self._writing:
            if not profile.shares_vectors(self._profile):
                return False
            profile = profile.with_source(self._profile.vector_source) if self._shard.point_count else profile
            await self._shard.call(write, self._path / PROFILE, orjson.dumps(profile))
            self._profile = profile
            return True

    async def retire(self, *, only_if_empty: bool = False) -> bool:
        """Close for deletion. Returns False, and does nothing, with `only_if_empty` if there is a passage."""
        async with self._writing:
            if only_if_empty and self._shard.point_count:
                return False
            await self._shard.retire()
            return True

    async def release_memory(self) -> None:
        """Unmap written pages. The engine keeps the vectors that every search reads in other memory."""
        async with self._writing:
            if self._shard.is_open:
                await asyncio.to_thread(partial(memory.unmap_pages, self._path, written_only=True))

    def close(self) -> None:
        """Flush every write and close the files."""
        self._count.prepare_flush(self._shard.count_documents())
        self._shard.engine.close()


def create(path: Path, profile: Profile, threads: int) -> EdgeCollection:
    """Create a collection in a folder that does not exist yet."""
    shard = edge_shard.create(path, profile, threads)
    write(path / PROFILE, orjson.dumps(profile))
    return EdgeCollection(path, shard, profile)


def is_collection(path: Path) -> bool:
    """Return whether a folder is a collection, and not the rest of an interrupted creation."""
    return any((path / name).is_file() for name in (PROFILE, COUNT))


def read_profile(path: Path) -> Profile:
    """Return the profile of a collection. Raises CollectionDamaged, ValueError if an earlier version wrote it."""
    try:
        fields = orjson.loads((path / PROFILE).read_bytes())
    except (OSError, orjson.JSONDecodeError) as error:
        raise CollectionDamaged(path.name, f"{PROFILE} cannot be read: {error}") from None
    try:
        return parse_profile(fields)
    except (AttributeError, KeyError, TypeError):
        raise ValueError(f"{path.name} was written by an earlier version") from None


def load(path: Path, profile: Profile, threads: int) -> EdgeCollection:
    """Open the collection in a folder. Raises CollectionDamaged."""
    shard = edge_shard.load(path, profile, threads)
    try:
        return EdgeCollection(path, shard, profile)
    except CollectionDamaged:
        shard.engine.close()
        raise
