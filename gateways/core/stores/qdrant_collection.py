"""One collection on a Qdrant server or cluster."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
from qdrant_client import AsyncQdrantClient, models
from qdrant_client.http.exceptions import ResponseHandlingException, UnexpectedResponse

from gateways.core.backend import F16, F32, SparseVector
from gateways.core.errors import BackendUnavailable
from gateways.core.profiles import Profile
from gateways.core.stores import payloads
from gateways.core.stores.base import FUSED, CollectionGone, Hit, Passage, Vectors
from gateways.core.stores.filters import Condition
from gateways.core.stores.identity import passage_key, text_key
from gateways.core.stores.qdrant_filter import translate
from gateways.core.stores.ranked import TIED, Ranked, best_first, fused

DENSE, SPARSE, LATE = "dense", "sparse", "late"
# Of passages with the vectors of their tokens fewer go in one call: each is half a megabyte as JSON.
_PER_CALL, _PER_CALL_WITH_TOKENS = 256, 16


@asynccontextmanager
async def reaching() -> AsyncIterator[None]:
    """Turn what the client raises when its server is away into BackendUnavailable."""
    try:
        yield
    except ResponseHandlingException as error:
        raise BackendUnavailable(f"the vector store is away: {error}", retry_after_s=1) from error
    except UnexpectedResponse as error:
        if error.status_code is None or error.status_code < 500:
            raise
        raise BackendUnavailable(f"the vector store answered {error.status_code}", retry_after_s=1) from error


class QdrantCollection:
    """`profile` is as its store read it last, `documents` as was counted last."""

    profile: Profile
    documents = 0

    def __init__(self, client: AsyncQdrantClient, name: str, stored: str) -> None:
        """`stored` is what the server calls it."""
        self._client = client
        self.name = name
        self.stored = stored

    async def replace(self, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        """Write the passages, then forget the surplus of their documents' older ones."""
        kept = {str(passage_key(one)) for one in passages}
        named = models.FieldCondition(
            key="document_id", match=models.MatchAny(any=sorted({one.document_id for one in passages}))
        )
        later = models.Filter(must=[named, _marked(payloads.LATER)])
        surplus = [its.id for its in await self._scroll(later, with_payload=False) if str(its.id) not in kept]
        await self.add(passages, vectors)
        if surplus:
            async with self._reaching():
                await self._client.delete(self.stored, models.PointIdsList(points=surplus), wait=True)

    async def add(self, passages: Sequence[Passage], vectors: Sequence[Vectors]) -> None:
        """Write passages, each in place of itself; what the server acknowledged is in its log."""
        per_call = _PER_CALL_WITH_TOKENS if self.profile.late_interaction else _PER_CALL
        made = [_point(one, its) for one, its in zip(passages, vectors, strict=True)]
        for at in range(0, len(made), per_call):
            async with self._reaching():
                await self._client.upsert(self.stored, made[at : at + per_call], wait=True)

    async def page(self, after: uuid.UUID | None, limit: int) -> list[tuple[uuid.UUID, Passage, Vectors]]:
        """Return the first passages whose keys come after one."""
        async with self._reaching():
            # The server begins with the one that it is told.
            records, _ = await self._client.scroll(
                self.stored, limit=limit + 1, offset=after and str(after), with_payload=True, with_vectors=True
            )
        found = [(uuid.UUID(str(its.id)), its) for its in records]
        return [(key, payloads.to_passage(its.payload), _vectors(its.vector)) for key, its in found if key != after][
            :limit
        ]

    async def search(
        self,
        dense: F32 | None,
        sparse: SparseVector | None,
        k: int,
        where: Condition | None,
        min_score: float | None = None,
    ) -> list[Hit]:
        """Return the k best passages, best first."""
        if dense is not None and sparse is not None:
            deep = max(k, FUSED)
            by_dense = await self._ranked(dense, None, deep, where)
            ranked = fused((by_dense, await self._ranked(None, sparse, deep, where)), k)
        else:
            ranked = await self._ranked(dense, sparse, k, where)
        ranked = [(one, score) for one, score in ranked if min_score is None or score >= min_score]
        async with self._reaching():
            records = await self._client.retrieve(self.stored, [str(one) for one, _ in ranked])
        held = {uuid.UUID(str(its.id)): its.payload for its in records}
        # What is missing was deleted meanwhile.
        return [Hit(payloads.to_passage(held[one]), score) for one, score in ranked if one in held]

    async def scores(
        self, passages: Sequence[Passage], dense: F32 | None, sparse: SparseVector | None, late: F16 | None
    ) -> dict[str, F32]:
        """Score passages as Collection says."""
        keys = [str(passage_key(one)) for one in passages]
        asked: dict[str, Any] = {}
        if dense is not None:
            asked[DENSE] = dense.tolist()
        if sparse is not None:
            asked[SPARSE] = _sparse(sparse)
        if late is not None:
            asked[LATE] = (late.astype(np.float32) / np.float32(len(late))).tolist()
        chosen = models.Filter(must=[models.HasIdCondition(has_id=list(keys))])
        scores = {}
        for name, query in asked.items():
            found = {str(one): score for one, score in await self._query(name, query, len(keys), chosen)}
            scores[name] = np.array([found.get(key, 0.0) for key in keys], dtype=np.float32)
        return scores

    async def document(self, document_id: str) -> list[Passage]:
        """Return the passages of a document in order; empty when there is none."""
        records = await self._scroll(_of_document(document_id))
        return sorted((payloads.to_passage(its.payload) for its in records), key=lambda one: one.number)

    async def delete(self, document_id: str) -> bool:
        """Forget a document, durably."""
        if not await self.document(document_id):
            return False
        async with self._reaching():
            await self._client.delete(self.stored, models.FilterSelector(filter=_of_document(document_id)), wait=True)
        await self.flush()
        return True

    async def known(self, texts: Sequence[str]) -> Mapping[str, Vectors]:
        """Return the vectors of those texts that are passages already."""
        found: dict[str, Vectors] = {}
        wanted = set(texts)
        for at in range(0, len(texts), _PER_CALL):
            keys = [text_key(text) for text in texts[at : at + _PER_CALL]]
            # A text may be in any number of documents: what is not among these is embedded once more.
            for its in await self._scroll(
                models.Filter(must=[_marked(*keys)]), with_vectors=True, most=2 * _PER_CALL
            ):
                text = payloads.to_passage(its.payload).text
                if text in wanted and text not in found:
                    found[text] = _vectors(its.vector)
        return found

    async def flush(self) -> None:
        """Count the documents: what was written is durable."""
        async with self._reaching():
            firsts = models.Filter(must_not=[_marked(payloads.LATER)])
            self.documents = (await self._client.count(self.stored, firsts, exact=True)).count

    async def _ranked(
        self, dense: F32 | None, sparse: SparseVector | None, k: int, where: Condition | None
    ) -> list[Ranked]:
        """Return the k best by one vector; of equal ones always the same."""
        test = translate(where) if where else None
        if sparse is None:
            assert dense is not None  # noqa: S101 a search is by one of them
            found = await self._query(DENSE, dense.tolist(), k + TIED, test)
        else:
            found = await self._query(SPARSE, _sparse(sparse), k + TIED, test)
        return sorted(found, key=best_first)[:k]

    async def _query(self, using: str, query: Any, limit: int, test: models.Filter | None) -> list[Ranked]:
        async with self._reaching():
            answer = await self._client.query_points(
                self.stored, query, using=using, limit=limit, query_filter=test, with_payload=False
            )
        return [(uuid.UUID(str(one.id)), one.score) for one in answer.points]

    async def _scroll(
        self, test: models.Filter, with_vectors: bool = False, with_payload: bool = True, most: int | None = None
    ) -> list[models.Record]:
        """Return all points that match, or the first ones up to `most` or a page more."""
        found: list[models.Record] = []
        offset: Any = None
        while True:
            async with self._reaching():
                records, offset = await self._client.scroll(
                    self.stored, test, _PER_CALL, offset=offset, with_payload=with_payload, with_vectors=with_vectors
                )
            found += records
            if offset is None or (most and len(found) >= most):
                return found

    @asynccontextmanager
    async def _reaching(self) -> AsyncIterator[None]:
        """Call the server; a collection that is not there any more is a CollectionGone."""
        try:
            async with reaching():
                yield
        except (UnexpectedResponse, ValueError) as error:
            if "not found" in str(error).lower() or "doesn't exist" in str(error).lower():
                raise CollectionGone(f"collection {self.name!r} was deleted meanwhile.", param="collection") from None
            raise


def _point(one: Passage, its: Vectors) -> models.PointStruct:
    named: dict[str, Any] = {DENSE: its.dense.tolist(), SPARSE: _sparse(its.sparse)}
    if its.late is not None:
        named[LATE] = its.late.astype(np.float32).tolist()
    return models.PointStruct(id=str(passage_key(one)), vector=named, payload=payloads.of_passage(one))


def _vectors(stored: Any) -> Vectors:
    terms = stored[SPARSE]
    indices, values = np.asarray(terms.indices, np.uint32), np.asarray(terms.values, np.float32)
    late = np.asarray(stored[LATE], np.float16) if LATE in stored else None
    return Vectors(np.asarray(stored[DENSE], np.float32), SparseVector(indices, values), late)


def _sparse(vector: SparseVector) -> models.SparseVector:
    return models.SparseVector(indices=vector.indices.tolist(), values=vector.values.tolist())


def _of_document(document_id: str) -> models.Filter:
    return models.Filter(must=[models.FieldCondition(key="document_id", match=models.MatchValue(value=document_id))])


def _marked(*marks: str) -> models.FieldCondition:
    return models.FieldCondition(key="marks", match=models.MatchAny(any=list(marks)))


def vectors_of(profile: Profile) -> dict[str, Any]:
    """Return the named vectors of a collection, as the server makes it."""
    vectors = {DENSE: models.VectorParams(size=profile.dimensions, distance=models.Distance.COSINE, on_disk=True)}
    if profile.late_interaction:
        # Never searched but among a few passages: no graph of it.
        vectors[LATE] = models.VectorParams(
            size=profile.dimensions,
            distance=models.Distance.DOT,
            multivector_config=models.MultiVectorConfig(comparator=models.MultiVectorComparator.MAX_SIM),
            datatype=models.Datatype.FLOAT16,
            hnsw_config=models.HnswConfigDiff(m=0),
            on_disk=True,
        )
    modifier = models.Modifier.IDF if profile.idf else None
    return {
        "vectors_config": vectors,
        "sparse_vectors_config": {SPARSE: models.SparseVectorParams(modifier=modifier)},
    }
