"""Qdrant Edge: the Qdrant engine in this process, one shard per collection under DATA_DIR/vectors."""

from __future__ import annotations

import asyncio
import shutil
import uuid
from collections.abc import Sequence
from hashlib import blake2b
from pathlib import Path
from typing import Any, cast

import numpy as np
import orjson
import qdrant_edge as qdrant

from gateways.core.backend import F32, ModelInfo
from gateways.core.errors import NotFound
from gateways.core.stores import filters
from gateways.core.stores.base import Hit, Metadata, Passage

DEFAULT = "default"
VECTOR = "dense"
_PROFILE = "collection.json"
_POINT_NAMESPACE = uuid.UUID("6b1f6f0e-7f0a-5a53-9c63-0d6a6c9f2f51")
# Exact integers beyond a double's 53 bits must be matched as integers.
_EXACT_IN_DOUBLE = 2**53
# A search over this many passages takes about a millisecond: beyond, it leaves the event loop.
_INLINE_PASSAGES = 20_000
_SCROLL = 256


class StoreMismatch(Exception):
    """The folder holds vectors of another model."""


class EdgeStore:
    """
    Collections of one embedding model.

    A point's payload holds the passage, and `bools`: its boolean metadata again as 0 and 1, because this engine
    does not match booleans.
    """

    def __init__(self, folder: Path, model: ModelInfo, threads: int) -> None:
        self._folder = folder
        self._model = model
        self._threads = threads
        self._shards: dict[str, qdrant.EdgeShard] = {}
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(folder.iterdir()):
            if (path / _PROFILE).is_file():
                self._check(path)
                self._shards[path.name] = qdrant.EdgeShard.load(str(path / "shard"))
        if DEFAULT not in self._shards:
            self._create(DEFAULT)

    def names(self) -> Sequence[str]:
        """Return the names of the collections."""
        return tuple(self._shards)

    async def upsert(self, collection: str, passages: Sequence[Passage], vectors: F32) -> None:
        """Write n passages and their float32 (n, dimensions) unit vectors."""
        points = [
            qdrant.Point(_point_id(passage.id), {VECTOR: vector}, _payload(passage))
            for passage, vector in zip(passages, vectors, strict=True)
        ]
        shard = self._shards.get(collection) or self._create(collection)
        await asyncio.to_thread(shard.update, qdrant.UpdateOperation.upsert_points(points))

    async def search(
        self, collection: str, vector: F32, k: int, where: filters.Condition | None, min_score: float | None
    ) -> list[Hit]:
        """Return the k nearest passages, best first; the score is the cosine."""
        shard = self._shard(collection)
        request = qdrant.SearchRequest(
            query=qdrant.Query.Nearest(cast(Any, vector), using=VECTOR),
            limit=k,
            filter=_filter(where) if where else None,
            with_payload=True,
            score_threshold=min_score,
        )
        if shard.info().points_count > _INLINE_PASSAGES:
            points = await asyncio.to_thread(shard.search, request)
        else:
            points = shard.search(request)
        return [Hit(_passage(point.payload), point.score) for point in points]

    async def document(self, collection: str, document_id: str) -> list[Passage]:
        """Return the passages of a document in order."""
        request = qdrant.ScrollRequest(limit=_SCROLL, filter=_of_document(document_id), with_payload=True)
        records, _ = await asyncio.to_thread(self._shard(collection).scroll, request)
        return sorted((_passage(record.payload) for record in records), key=lambda passage: passage.start)

    async def delete(self, collection: str, document_id: str) -> bool:
        """Forget a document, durably."""
        shard = self._shard(collection)
        if not await self.document(collection, document_id):
            return False
        operation = qdrant.UpdateOperation.delete_points_by_filter(_of_document(document_id))
        await asyncio.to_thread(shard.update, operation)
        await asyncio.to_thread(shard.flush)
        return True

    def count(self) -> int:
        """Return the number of passages in all collections."""
        return sum(shard.info().points_count for shard in self._shards.values())

    async def known(self, collection: str, texts: Sequence[str]) -> dict[str, F32]:
        """Return the unit vectors of those texts that are passages of the collection already."""
        shard = self._shards.get(collection)
        if shard is None:
            return {}
        hashes = qdrant.MatchAny([_hash(text) for text in texts])
        condition = qdrant.Filter(must=[qdrant.FieldCondition("hash", match=hashes)])
        request = qdrant.ScrollRequest(limit=2 * len(texts), filter=condition, with_payload=True, with_vector=True)
        records, _ = await asyncio.to_thread(shard.scroll, request)
        wanted = set(texts)
        return {
            text: np.asarray(cast(Any, record.vector)[VECTOR], dtype=np.float32)
            for record in records
            if (text := _passage(record.payload).text) in wanted
        }

    async def flush(self, collection: str) -> None:
        """Return once everything written to a collection is on disk."""
        await asyncio.to_thread(self._shard(collection).flush)

    def close(self) -> None:
        """Write everything and let go of the files."""
        for shard in self._shards.values():
            shard.close()

    def _shard(self, collection: str) -> qdrant.EdgeShard:
        try:
            return self._shards[collection]
        except KeyError:
            known = ", ".join(self._shards)
            raise NotFound(
                f"there is no collection {collection!r}; there are: {known}. Ingest into it to create it.",
                param="collection",
                code="unknown_collection",
            ) from None

    def _create(self, collection: str) -> qdrant.EdgeShard:
        path = self._folder / collection
        shutil.rmtree(path, ignore_errors=True)  # left by a creation that did not finish
        shape = qdrant.EdgeVectorParams(size=self._model.dimensions, distance=qdrant.Distance.Cosine)
        # No log of its own: what was not flushed yet is written again from the job journal, and deletes flush.
        config = qdrant.EdgeConfig(vectors={VECTOR: shape}, max_search_threads=self._threads, wal_enabled=False)
        shard = qdrant.EdgeShard.create(str(path / "shard"), config)
        profile = {"model": self._model.id, "dimensions": self._model.dimensions}
        for field in ("document_id", "hash"):
            shard.update(qdrant.UpdateOperation.create_field_index(field, qdrant.PayloadSchemaType.Keyword))
        # Written last: a folder without it is made again.
        (path / _PROFILE).write_bytes(orjson.dumps(profile))
        self._shards[collection] = shard
        return shard

    def _check(self, path: Path) -> None:
        profile = orjson.loads((path / _PROFILE).read_bytes())
        if profile != {"model": self._model.id, "dimensions": self._model.dimensions}:
            raise StoreMismatch(
                f"collection {path.name!r} in DATA_DIR holds vectors of {profile['model']} "
                f"({profile['dimensions']} dimensions) and this gateway serves {self._model.id} "
                f"({self._model.dimensions}): use another DATA_DIR, or serve that model"
            )


def open_store(data_dir: Path, model: ModelInfo, threads: int) -> EdgeStore:
    """Open or make the store below `data_dir`; StoreMismatch when it is another model's."""
    return EdgeStore(data_dir / "vectors", model, threads)


def _point_id(passage_id: str) -> uuid.UUID:
    return uuid.uuid5(_POINT_NAMESPACE, passage_id)


def _hash(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def _payload(passage: Passage) -> dict[str, Any]:
    return {
        "id": passage.id,
        "hash": _hash(passage.text),
        "document_id": passage.document_id,
        "text": passage.text,
        "start": passage.start,
        "end": passage.end,
        "metadata": passage.metadata,
        "bools": {name: int(value) for name, value in passage.metadata.items() if isinstance(value, bool)},
    }


def _passage(payload: dict[str, Any] | None) -> Passage:
    stored = payload or {}
    metadata: Metadata = stored["metadata"]
    return Passage(stored["id"], stored["document_id"], stored["text"], stored["start"], stored["end"], metadata)


def _of_document(document_id: str) -> qdrant.Filter:
    return qdrant.Filter(must=[qdrant.FieldCondition("document_id", match=qdrant.MatchValue(document_id))])


def _filter(condition: filters.Condition) -> qdrant.Filter:
    if isinstance(condition, filters.Join):
        parts: list[Any] = [_filter(part) for part in condition.parts]
        if condition.how == "or":
            return qdrant.Filter(should=parts)
        return qdrant.Filter(must_not=parts) if condition.how == "not" else qdrant.Filter(must=parts)
    if isinstance(condition, filters.Range):
        return _over_paths(condition.field, lambda path: _within(path, **condition.bounds))
    return _over_paths(condition.field, lambda path: _equals(path, condition.value), condition.value)


def _over_paths(name: str, test: Any, value: object = None) -> qdrant.Filter:
    """Test the field of this name, and where the name has dots, the nested field that they spell, too."""
    root = "bools" if isinstance(value, bool) else "metadata"
    paths = [f'{root}."{name}"']
    if "." in name and all(name.split(".")):
        paths.append(root + "".join(f'."{part}"' for part in name.split(".")))
    return qdrant.Filter(should=[test(path) for path in paths])


def _equals(path: str, value: filters.Scalar) -> Any:
    if value is None:
        return qdrant.IsNullCondition(path)
    if isinstance(value, str):
        return qdrant.FieldCondition(path, match=qdrant.MatchValue(value))
    if isinstance(value, bool) or abs(value) > _EXACT_IN_DOUBLE:
        return qdrant.FieldCondition(path, match=qdrant.MatchValue(int(value)))
    return _within(path, gte=float(value), lte=float(value))


def _within(path: str, **bounds: float) -> qdrant.FieldCondition:
    return qdrant.FieldCondition(path, range=qdrant.RangeFloat(**bounds))
