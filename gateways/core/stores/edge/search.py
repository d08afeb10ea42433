"""Searches in a shard: rankings by dense and sparse vectors, and scores of chosen passages."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import qdrant_edge as qdrant

from gateways.core.backend import F16, F32, SparseVector
from gateways.core.stores.base import FUSION_DEPTH, Hit, Passage
from gateways.core.stores.edge import points, queries
from gateways.core.stores.edge.field_indexes import FieldIndexes
from gateways.core.stores.edge.filter import engine_paths, translate
from gateways.core.stores.edge.filter_plan import FilterPlans
from gateways.core.stores.edge.shard import Shard
from gateways.core.stores.filters import Condition, list_tests, values_of
from gateways.core.stores.keys import passage_key
from gateways.core.stores.payloads import METADATA, to_passage
from gateways.core.stores.ranking import TIE_MARGIN, Score, drop_below, fuse_ranks, sort_scores

T = TypeVar("T")

# A search over this many passages takes about a millisecond. Longer ones leave the event loop.
_INLINE_PASSAGES = 20_000
# A test of the metadata of a passage takes as long as scoring this many passages: 89 ms where the search takes 1.3.
_WEIGHT_WITHOUT_INDEX = 64
# Scoring more passages than these takes as long.
_INLINE_SCORES = 32
# From this size on, candidates are found in 4 bits per dimension, which reads an eighth as much.
_COARSE_PASSAGES = 5_000


class EdgeSearch:
    """Searches one shard."""

    def __init__(self, shard: Shard, fields: FieldIndexes) -> None:
        self._shard = shard
        self._fields = fields
        self._plans = FilterPlans(shard.engine)

    async def search(
        self,
        dense: F32 | None,
        sparse: SparseVector | None,
        k: int,
        condition: Condition | None,
        min_score: float | None,
    ) -> list[Hit]:
        """Return the k best passages, as Collection.search."""
        self._shard.require_open()
        if sparse is None and condition is None:
            request = queries.ranking(
                dense, None, k, None, min_score, with_payload=True, coarse=self._prefer_coarse()
            )
            scored = await self._call_by_work(condition, self._shard.engine.query, request)
            return [Hit(to_passage(point.payload), point.score) for point in scored]
        if dense is not None and sparse is not None:
            ranking = drop_below(
                await self._call_by_work(condition, self._fuse, dense, sparse, k, condition), min_score
            )
        else:
            ranking = await self._call_by_work(condition, self._rank, dense, sparse, k, condition, min_score)
        self._shard.require_open()
        records = self._shard.engine.retrieve([key for key, _ in ranking], True, False)
        payloads = {record.id: record.payload for record in records}
        # A passage without a payload was deleted after the ranking.
        return [Hit(to_passage(payloads[key]), score) for key, score in ranking if key in payloads]

    async def score(
        self, passages: Sequence[Passage], dense: F32 | None, sparse: SparseVector | None, late: F16 | None
    ) -> dict[str, F32]:
        """Return the scores of passages, as Collection.scores."""
        vector_queries: dict[str, Any] = {}
        if dense is not None:
            vector_queries[points.DENSE] = queries.dense_query(dense)
        if sparse is not None:
            vector_queries[points.SPARSE] = queries.sparse_query(sparse)
        if late is not None:
            vector_queries[points.LATE] = queries.token_query(late)
        keys = [passage_key(passage) for passage in passages]
        if len(keys) > _INLINE_SCORES:
            return await self._shard.call(self._score_keys, keys, vector_queries)
        self._shard.require_open()
        return self._score_keys(keys, vector_queries)

    async def has_field(self, name: str) -> bool:
        """Return whether any passage has the field of a filter."""
        empty: list[Any] = [qdrant.IsEmptyCondition(path) for path in engine_paths(name, METADATA)]
        selection = qdrant.Filter(must_not=[qdrant.Filter(must=empty)])
        request = qdrant.ScrollRequest(limit=1, filter=selection, with_payload=False)
        records, _ = await self._shard.call(self._shard.engine.scroll, request)
        return bool(records)

    def _rank(
        self,
        dense: F32 | None,
        sparse: SparseVector | None,
        k: int,
        condition: Condition | None,
        min_score: float | None = None,
    ) -> list[Score]:
        """Return the k best by one vector. The engine orders equal scores at random, hence the margin."""
        selection = translate(condition) if condition else None
        coarse = self._prefer_coarse()
        if coarse and dense is not None and condition and selection:
            scored = self._rank_candidates(dense, k, condition, selection)
            if scored:
                return drop_below(sort_scores(scored, k), min_score)
        request = queries.ranking(dense, sparse, k + TIE_MARGIN, selection, min_score, coarse=coarse)
        return sort_scores(_to_scores(self._shard.engine.query(request)), k)

    def _rank_candidates(self, dense: F32, k: int, condition: Condition, selection: qdrant.Filter) -> list[Score]:
        """
        Return the k best and more, if a filter keeps many passages; nothing if it turns out to keep too few.

        The engine scores every passage without a look at the filter, in the order of memory. It then tests the best.
        A filtered search of half of the passages would take two to four times as long.
        """
        candidates = self._plans.count_candidates(condition, k, self._shard.point_count)
        if not candidates:
            return []
        enough = queries.count_candidates(k)
        best = self._shard.engine.query(queries.testing(dense, candidates, enough, selection))
        return _to_scores(best[: k + TIE_MARGIN]) if len(best) >= enough else []

    def _fuse(self, dense: F32, sparse: SparseVector, k: int, condition: Condition | None) -> list[Score]:
        """Return the k best by reciprocal rank fusion; each ranking is filtered before it is cut."""
        depth = max(k, FUSION_DEPTH)
        rankings = self._rank(dense, None, depth, condition), self._rank(None, sparse, depth, condition)
        return fuse_ranks(rankings, k)

    def _score_keys(self, keys: Sequence[uuid.UUID], vector_queries: Mapping[str, Any]) -> dict[str, F32]:
        scores = {}
        for name, query in vector_queries.items():
            by_key = {point.id: point.score for point in self._shard.engine.query(queries.scoring(keys, query))}
            scores[name] = np.array([by_key.get(key, 0.0) for key in keys], dtype=np.float32)
        return scores

    def _prefer_coarse(self) -> bool:
        """Return whether there are vectors in 4 bits, and enough passages for those to be faster."""
        return self._shard.has_coarse and self._shard.point_count > _COARSE_PASSAGES

    async def _call_by_work(self, condition: Condition | None, work: Callable[..., T], *values: Any) -> T:
        """Return the result of `work`, run in a thread if the shard is large, or the filter slow for its size."""
        if self._shard.point_count * self._weight(condition) > _INLINE_PASSAGES:
            return await self._shard.call(work, *values)
        return work(*values)

    def _weight(self, condition: Condition | None) -> int:
        """Return how many times longer than without the filter a search takes at most."""
        if condition is None:
            return 1
        weights = (
            max(1, len(values_of(test))) * (1 if self._fields.covers(test) else _WEIGHT_WITHOUT_INDEX)
            for test in list_tests(condition)
        )
        return max(1, sum(weights))


def _to_scores(points: Iterable[qdrant.ScoredPoint]) -> list[Score]:
    return [(cast(uuid.UUID, point.id), point.score) for point in points]
