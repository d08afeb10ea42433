"""Searches in a collection of a server: rankings by dense and sparse vectors, and scores of chosen passages."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from qdrant_client import models

from gateways.core.backend import F16, F32, SparseVector
from gateways.core.stores.base import FUSION_DEPTH, Hit, Passage
from gateways.core.stores.filters import Condition
from gateways.core.stores.keys import passage_key
from gateways.core.stores.payloads import to_passage
from gateways.core.stores.qdrant.connection import CollectionConnection
from gateways.core.stores.qdrant.filter import translate
from gateways.core.stores.qdrant.points import DENSE, LATE, SPARSE, to_key, to_sparse
from gateways.core.stores.ranking import TIE_MARGIN, Score, drop_below, fuse_ranks, sort_scores


class QdrantSearch:
    """Searches one collection."""

    def __init__(self, connection: CollectionConnection) -> None:
        self._connection = connection

    async def search(
        self,
        dense: F32 | None,
        sparse: SparseVector | None,
        k: int,
        condition: Condition | None,
        min_score: float | None,
    ) -> list[Hit]:
        """Return the k best passages, as Collection.search."""
        if dense is not None and sparse is not None:
            depth = max(k, FUSION_DEPTH)
            by_dense = await self._rank(dense, None, depth, condition)
            ranking = fuse_ranks((by_dense, await self._rank(None, sparse, depth, condition)), k)
        else:
            ranking = await self._rank(dense, sparse, k, condition)
        ranking = drop_below(ranking, min_score)
        async with self._connection.mapped_errors():
            keys = [str(key) for key, _ in ranking]
            records = await self._connection.client.retrieve(self._connection.server_name, keys)
        payloads = {to_key(record.id): record.payload for record in records}
        # A passage without a payload was deleted after the ranking.
        return [Hit(to_passage(payloads[key]), score) for key, score in ranking if key in payloads]

    async def score(
        self, passages: Sequence[Passage], dense: F32 | None, sparse: SparseVector | None, late: F16 | None
    ) -> dict[str, F32]:
        """Return the scores of passages, as Collection.scores."""
        queries: dict[str, Any] = {}
        if dense is not None:
            queries[DENSE] = dense.tolist()
        if sparse is not None:
            queries[SPARSE] = to_sparse(sparse)
        if late is not None:
            queries[LATE] = (late.astype(np.float32) / np.float32(len(late))).tolist()
        keys = [str(passage_key(passage)) for passage in passages]
        selection = models.Filter(must=[models.HasIdCondition(has_id=list(keys))])
        scores = {}
        for name, query in queries.items():
            ranking = await self._connection.query(name, query, len(keys), selection)
            by_key = {str(key): score for key, score in ranking}
            scores[name] = np.array([by_key.get(key, 0.0) for key in keys], dtype=np.float32)
        return scores

    async def _rank(
        self, dense: F32 | None, sparse: SparseVector | None, k: int, condition: Condition | None
    ) -> list[Score]:
        """Return the k best by one vector. The server orders equal scores at random, hence the margin."""
        selection = translate(condition) if condition else None
        if sparse is None:
            assert dense is not None  # noqa: S101 a search is by one of them
            ranking = await self._connection.query(DENSE, dense.tolist(), k + TIE_MARGIN, selection)
        else:
            ranking = await self._connection.query(SPARSE, to_sparse(sparse), k + TIE_MARGIN, selection)
        return sort_scores(ranking, k)
