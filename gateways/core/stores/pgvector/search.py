"""Searches in the tables of a collection: rankings by dense and sparse vectors, and scores of chosen passages."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from pgvector import Vector

from gateways.core.backend import F16, F32
from gateways.core.persistence.postgres import Connection
from gateways.core.scoring.late_interaction import maxsim
from gateways.core.stores.base import FUSION_DEPTH, Hit, Passage
from gateways.core.stores.filters import Condition
from gateways.core.stores.keys import passage_key
from gateways.core.stores.pgvector.filter import translate
from gateways.core.stores.pgvector.rows import to_passage, to_tokens
from gateways.core.stores.pgvector.tables import CollectionTables
from gateways.core.stores.ranking import TIE_MARGIN, Score, drop_below, fuse_ranks, sort_scores

_DENSE = """
SELECT id, 1 - (dense <=> %s) FROM {passages} WHERE {condition} ORDER BY dense <=> %s LIMIT %s
"""
# The index ends its scan after 20,000 rows, which a narrow filter may all refuse. It does not answer this order.
_EXACT = """
SELECT id, 1 - (dense <=> %s) FROM {passages} WHERE {condition} ORDER BY (dense <=> %s) + 0 LIMIT %s
"""
# BM25 (Robertson & Zaragoza 2009), as the embedded store computes it: the weight of a term in the passage, times its
# weight in the query, times its inverse document frequency if the profile has that.
_WEIGHED = """
SELECT stored.passage AS id, sum(stored.weight * query.weight)::float8 AS score
FROM {terms} stored JOIN (
    SELECT term, weight * CASE WHEN %s THEN ln(1 + (%s - frequency + 0.5) / (frequency + 0.5)) ELSE 1 END AS weight
    FROM unnest(%s::bigint[], %s::float8[]) AS query_terms (term, weight)
    CROSS JOIN LATERAL (
        SELECT count(*)::float8 AS frequency FROM {terms} WHERE {terms}.term = query_terms.term
    ) AS frequencies
) query USING (term)
"""
# The scores come in order, so that a filter which keeps many passages is tested on the first ones alone.
_SPARSE = f"""
SELECT id, score
FROM ({_WEIGHED} GROUP BY stored.passage ORDER BY score DESC, id) scores JOIN {{passages}} USING (id)
WHERE {{condition}} ORDER BY score DESC, id LIMIT %s
"""  # noqa: S608 # nosec B608 our own words
_SPARSE_SCORES = _WEIGHED + "WHERE stored.passage = ANY(%s) GROUP BY stored.passage"


class TermQuery(NamedTuple):
    """The parameters of the sparse query: `passages` is the size of the collection, for the frequencies."""

    idf: bool
    passages: int
    terms: list[int]
    weights: list[float]


class PgSearch:
    """Searches the tables of one collection."""

    def __init__(self, tables: CollectionTables) -> None:
        self._tables = tables

    async def search(
        self,
        dense: F32 | None,
        sparse: TermQuery | None,
        k: int,
        condition: Condition | None,
        min_score: float | None,
    ) -> list[Hit]:
        """Return the k best passages, as Collection.search."""
        async with self._tables.reading() as connection:
            if dense is not None and sparse is not None:
                depth = max(k, FUSION_DEPTH)
                by_dense = await self._rank(connection, dense, None, depth, condition)
                by_sparse = await self._rank(connection, None, sparse, depth, condition)
                ranking = fuse_ranks((by_dense, by_sparse), k)
            else:
                ranking = await self._rank(connection, dense, sparse, k, condition)
            ranking = drop_below(ranking, min_score)
            select = self._tables.statement("SELECT id, passage FROM {passages} WHERE id = ANY(%s)")
            cursor = await connection.execute(select, ([key for key, _ in ranking],))
            columns = dict(await cursor.fetchall())
        # A passage without a row was deleted after the ranking.
        return [Hit(to_passage(columns[key]), score) for key, score in ranking if key in columns]

    async def score(
        self, passages: Sequence[Passage], dense: F32 | None, sparse: TermQuery | None, late: F16 | None
    ) -> dict[str, F32]:
        """Return the scores of passages, as Collection.scores."""
        keys = [passage_key(passage) for passage in passages]
        scores: dict[str, Mapping[uuid.UUID, float]] = {}
        async with self._tables.reading() as connection:
            if dense is not None:
                select = "SELECT id, 1 - (dense <=> %s) FROM {passages} WHERE id = ANY(%s)"
                scores["dense"] = await self._fetch_by_key(connection, select, Vector(dense), keys)
            if sparse is not None:
                scores["sparse"] = await self._fetch_by_key(connection, _SPARSE_SCORES, *sparse, keys)
            if late is not None:
                select = "SELECT id, tokens FROM {passages} WHERE id = ANY(%s) AND tokens IS NOT NULL"
                scores["late"] = _score_tokens(late, await self._fetch_by_key(connection, select, keys))
        return {
            kind: np.array([by_key.get(key, 0.0) for key in keys], dtype=np.float32)
            for kind, by_key in scores.items()
        }

    async def _rank(
        self, connection: Connection, dense: F32 | None, sparse: TermQuery | None, k: int, condition: Condition | None
    ) -> list[Score]:
        """Return the k best by one vector. The database orders equal scores at random, hence the margin."""
        test, values = translate(condition)
        if sparse is None:
            assert dense is not None  # noqa: S101 a search is by one of them
            parameters = [Vector(dense), *values, Vector(dense), k + TIE_MARGIN]
            cursor = await connection.execute(self._tables.statement(_DENSE, condition=test), parameters)
            if condition and cursor.rowcount < k:
                cursor = await connection.execute(self._tables.statement(_EXACT, condition=test), parameters)
        else:
            statement = self._tables.statement(_SPARSE, condition=test)
            cursor = await connection.execute(statement, [*sparse, *values, k + TIE_MARGIN])
        return sort_scores(await cursor.fetchall(), k)

    async def _fetch_by_key(self, connection: Connection, select: str, *values: Any) -> dict[uuid.UUID, Any]:
        """Return the second column of a query by its first."""
        cursor = await connection.execute(self._tables.statement(select), values)
        return dict(await cursor.fetchall())


def _score_tokens(late: F16, columns: Mapping[uuid.UUID, bytes]) -> dict[uuid.UUID, float]:
    """Return the late interaction of float16 (q, dimensions) with the token vectors of each passage."""
    if not columns:
        return {}
    tokens = [to_tokens(column, late.shape[1]).astype(np.float32) for column in columns.values()]
    return dict(zip(columns, maxsim(late.astype(np.float32), tokens).tolist(), strict=True))
