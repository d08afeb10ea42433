"""One collection: a shard of the Qdrant engine, and the profile beside it."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, cast

import numpy as np
import orjson
import qdrant_edge as qdrant

from gateways.core import memory
from gateways.core.backend import F16, F32, SparseVector
from gateways.core.background import in_background
from gateways.core.profiles import Profile, profile_of
from gateways.core.stores import edge_points as points
from gateways.core.stores import edge_queries as queries
from gateways.core.stores import edge_shard
from gateways.core.stores.base import FUSED, CollectionGone, Hit, Passage, Vectors
from gateways.core.stores.durable import write
from gateways.core.stores.filters import Condition
from gateways.core.stores.identity import passage_key
from gateways.core.stores.payloads import to_passage
from gateways.core.stores.ranked import TIED, Ranked, best_first, fused

T = TypeVar("T")

PROFILE = "collection.json"
# A search over this many passages takes about a millisecond: beyond, it leaves the event loop.
_INLINE_PASSAGES = 20_000
# So do the scores of more passages than these.
_INLINE_SCORED = 32
# Of passages with the vectors of their tokens fewer go in one call: the engine holds the interpreter's lock for over
# a millisecond with each, and nothing is served meanwhile.
_PER_CALL, _PER_CALL_WITH_TOKENS = 256, 2
# Over more passages than these a few are found in 4 bits a dimension, which reads an eighth as much.
_COARSE_PASSAGES = 5_000


class EdgeCollection:
    """A folder with a shard and its profile, which is written last: a folder without it was never finished."""

    def __init__(self, path: Path, shard: qdrant.EdgeShard, profile: Profile) -> None:
        self._path = path
        self._shard = shard
        self._coarse = edge_shard.has_coarse(path)
        self._profile = profile
        self._writing = asyncio.Lock()
        self._open = True
        self._documents = self._count()

    @property
    def name(self) -> str:
        """Return its name: the folder's."""
        return self._path.name

    @property
    def profile(self) -> Profile:
        """Return how it is searched."""
        return self._profile

    @property
    def documents(self) -> int:
        """Return the number of documents, as of the last `flush` or `delete`."""
        return self._documents

    async def replace(self, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        """Write the passages, then forget the surplus of their documents' older ones."""
        kept = {passage_key(one) for one in passages}
        later = points.later_of({one.document_id for one in passages})
        async with self._writing:
            surplus = [record.id for record in await self._scroll(later, with_payload=False) if record.id not in kept]
            await self._write(passages, vectors)
            if surplus:
                await self._call(self._shard.update, qdrant.UpdateOperation.delete_points(surplus))

    async def add(self, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        """Write passages, each in place of itself."""
        async with self._writing:
            await self._write(passages, vectors)

    async def page(self, after: uuid.UUID | None, limit: int) -> list[tuple[uuid.UUID, Passage, Vectors]]:
        """Return the first passages whose keys come after one."""
        # The engine begins with the one that it is told.
        request = qdrant.ScrollRequest(offset=after, limit=limit + 1, with_payload=True, with_vector=True)
        records, _ = await self._call(self._shard.scroll, request)
        return [
            (cast(uuid.UUID, its.id), to_passage(its.payload), points.vectors(its.vector))
            for its in records
            if its.id != after
        ][:limit]

    async def _write(self, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        per_call = _PER_CALL_WITH_TOKENS if self._profile.late_interaction else _PER_CALL
        for at in range(0, len(passages), per_call):
            some = passages[at : at + per_call], vectors[at : at + per_call]
            await self._call(self._upsert, *some, background=True)

    def _upsert(self, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        made = [points.point(one, its, self._coarse) for one, its in zip(passages, vectors, strict=True)]
        self._shard.update(qdrant.UpdateOperation.upsert_points(made))

    async def search(
        self,
        dense: F32 | None,
        sparse: SparseVector | None,
        k: int,
        where: Condition | None,
        min_score: float | None = None,
    ) -> list[Hit]:
        """Return the k best passages, best first."""
        if not self._open:
            raise self._gone()
        if sparse is None:
            request = queries.by(dense, None, k, where, min_score, with_payload=True, coarse=self._long_enough())
            found = await self._off_loop_if_long(self._shard.query, request)
            return [Hit(to_passage(one.payload), one.score) for one in found]
        if dense is not None:
            ranked = await self._off_loop_if_long(self._fused, dense, sparse, k, where)
            ranked = [(one, score) for one, score in ranked if min_score is None or score >= min_score]
        else:
            ranked = await self._off_loop_if_long(self._ranked, dense, sparse, k, where, min_score)
        payloads = {one.id: one.payload for one in self._shard.retrieve([one for one, _ in ranked], True, False)}
        # What is missing was deleted meanwhile.
        return [Hit(to_passage(payloads[one]), score) for one, score in ranked if one in payloads]

    def _ranked(
        self,
        dense: F32 | None,
        sparse: SparseVector | None,
        k: int,
        where: Condition | None,
        min_score: float | None = None,
    ) -> list[Ranked]:
        """Return the k best by one vector; of equal ones always the same, which the engine leaves to chance."""
        found = self._shard.query(queries.by(dense, sparse, k + TIED, where, min_score, coarse=self._long_enough()))
        return sorted(((cast(uuid.UUID, one.id), one.score) for one in found), key=best_first)[:k]

    def _fused(self, dense: F32, sparse: SparseVector, k: int, where: Condition | None) -> list[Ranked]:
        """Return the k best by reciprocal ranks, each ranking filtered before it is cut."""
        deep = max(k, FUSED)
        return fused((self._ranked(dense, None, deep, where), self._ranked(None, sparse, deep, where)), k)

    async def scores(
        self, passages: Sequence[Passage], dense: F32 | None, sparse: SparseVector | None, late: F16 | None
    ) -> dict[str, F32]:
        """Score passages as Collection says."""
        asked: dict[str, Any] = {}
        if dense is not None:
            asked[points.DENSE] = queries.of_dense(dense)
        if sparse is not None:
            asked[points.SPARSE] = queries.of_sparse(sparse)
        if late is not None:
            asked[points.LATE] = queries.of_tokens(late)
        ids = [passage_key(one) for one in passages]
        if len(ids) > _INLINE_SCORED:
            return await self._call(self._scores, ids, asked)
        if not self._open:
            raise self._gone()
        return self._scores(ids, asked)

    def _scores(self, ids: Sequence[uuid.UUID], asked: Mapping[str, Any]) -> dict[str, F32]:
        scores = {}
        for name, query in asked.items():
            found = {point.id: point.score for point in self._shard.query(queries.among(ids, query))}
            scores[name] = np.array([found.get(one, 0.0) for one in ids], dtype=np.float32)
        return scores

    async def document(self, document_id: str) -> list[Passage]:
        """Return the passages of a document in order, never half an old and half a new one."""
        async with self._writing:
            records = await self._scroll(points.of_document(document_id))
        return sorted((to_passage(record.payload) for record in records), key=lambda one: one.number)

    async def delete(self, document_id: str) -> bool:
        """Forget a document, durably."""
        if not await self.document(document_id):
            return False
        operation = qdrant.UpdateOperation.delete_points_by_filter(points.of_document(document_id))
        async with self._writing:
            await self._call(self._shard.update, operation)
        await self.flush()
        return True

    async def known(self, texts: Sequence[str]) -> Mapping[str, Vectors]:
        """Return the vectors of those texts that are passages already."""
        found: dict[str, Vectors] = {}
        wanted = set(texts)
        for at in range(0, len(texts), _PER_CALL):
            some = points.with_text(texts[at : at + _PER_CALL])
            # A text may be in any number of documents: what is not among these is embedded once more.
            for record in await self._scroll(some, with_vector=True, most=2 * _PER_CALL):
                text = to_passage(record.payload).text
                if text in wanted and text not in found:
                    found[text] = points.vectors(record.vector)
        return found

    async def flush(self) -> None:
        """Return once everything written is on disk."""
        async with self._writing:
            await self._call(self._shard.flush)
            self._documents = await self._call(self._count)

    async def take(self, profile: Profile) -> bool:
        """Take another profile, durably; False, and nothing done, where that asks for other vectors."""
        async with self._writing:
            if not profile.shares_vectors(self._profile):
                return False
            await self._call(write, self._path / PROFILE, orjson.dumps(profile))
            self._profile = profile
            return True

    async def leave(self, *, empty_only: bool = False) -> bool:
        """Close for good; False, and nothing done, where it must be `empty_only` and is not."""
        async with self._writing:
            if empty_only and self._shard.info().points_count:
                return False
            self._open = False
            await asyncio.to_thread(self._shard.close)
            return True

    async def rest(self) -> None:
        """Let go of the pages that were written; of vectors that every search reads the engine has others."""
        async with self._writing:
            if self._open:
                await asyncio.to_thread(partial(memory.unmap_pages, self._path, written_only=True))

    def close(self) -> None:
        """Write everything and let go of the files."""
        self._shard.close()

    async def _scroll(
        self, condition: qdrant.Filter, with_vector: bool = False, with_payload: bool = True, most: int | None = None
    ) -> list[qdrant.Record]:
        """Return all points that match, or the first ones up to `most` or a page more."""
        found: list[qdrant.Record] = []
        offset: Any = None
        while True:
            request = qdrant.ScrollRequest(
                offset=offset, limit=_PER_CALL, filter=condition, with_payload=with_payload, with_vector=with_vector
            )
            records, offset = await self._call(self._shard.scroll, request)
            found += records
            if offset is None or (most and len(found) >= most):
                return found

    def _long_enough(self) -> bool:
        """Whether it has vectors of 4 bits a dimension, and passages enough for them to be faster."""
        return self._coarse and self._shard.info().points_count > _COARSE_PASSAGES

    async def _off_loop_if_long(self, work: Callable[..., T], *values: Any) -> T:
        if self._shard.info().points_count > _INLINE_PASSAGES:
            return await self._call(work, *values)
        return work(*values)

    async def _call(self, work: Callable[..., T], *values: Any, background: bool = False) -> T:
        """Work in a thread; what fails because the collection was closed meanwhile is a CollectionGone."""
        if not self._open:
            raise self._gone()
        try:
            return await (in_background if background else asyncio.to_thread)(work, *values)
        except Exception:
            if not self._open:
                raise self._gone() from None
            raise

    def _count(self) -> int:
        request = qdrant.CountRequest(exact=True, filter=qdrant.Filter(must=[*points.LATER]))
        return self._shard.info().points_count - self._shard.count(request)

    def _gone(self) -> CollectionGone:
        return CollectionGone(f"collection {self.name!r} was deleted meanwhile.", param="collection")


def create(path: Path, profile: Profile, threads: int) -> EdgeCollection:
    """Make a collection in a folder that is not there yet."""
    shard = edge_shard.create(path, profile, threads)
    write(path / PROFILE, orjson.dumps(profile))
    return EdgeCollection(path, shard, profile)


def read_profile(path: Path) -> Profile:
    """Return the profile in a collection's folder; ValueError when an earlier version wrote it."""
    try:
        return profile_of(orjson.loads((path / PROFILE).read_bytes()))
    except (KeyError, TypeError):
        raise ValueError(f"{path.name} was written by an earlier version") from None


def load(path: Path, profile: Profile, threads: int) -> EdgeCollection:
    """Open the collection of a folder."""
    return EdgeCollection(path, edge_shard.load(path, profile, threads), profile)
