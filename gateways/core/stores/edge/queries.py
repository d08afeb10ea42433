"""Requests to the engine: a ranking by one vector, or the scores of chosen points."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import qdrant_edge as qdrant

from gateways.core.backend import F16, F32, SparseVector
from gateways.core.stores.edge import points

# Candidates in 4 bits are 2k + 16. In 1,600 of 1,600 queries over 11,967 passages, 2k of them held the k best.
_COARSE_MARGIN = 16
# Below any score of a match, and above the score of the others.
_LEAST_SCORE = 1e-9


def ranking(
    dense: F32 | None,
    sparse: SparseVector | None,
    k: int,
    selection: qdrant.Filter | None,
    min_score: float | None = None,
    *,
    with_payload: bool = False,
    coarse: bool = False,
) -> qdrant.QueryRequest:
    """
    Return the request for the k best by the one vector that is not None.

    With `coarse` the candidates are the best in 4 bits per dimension; their scores are computed in full precision.
    """
    query = _vector_query(dense, sparse)
    prefetches = []
    if coarse and dense is not None:
        prefetches = [qdrant.Prefetch(count_candidates(k), _coarse_query(dense), filter=selection)]
    return qdrant.QueryRequest(
        limit=k,
        query=query,
        prefetches=prefetches,
        filter=None if prefetches else selection,
        with_payload=with_payload,
        score_threshold=min_score,
    )


def scoring(keys: Sequence[uuid.UUID], query: Any) -> qdrant.QueryRequest:
    """Return the request for the scores of these points, without their payloads."""
    selection = qdrant.Filter(must=[qdrant.HasIdCondition(set(keys))])
    return qdrant.QueryRequest(limit=len(keys), query=query, filter=selection)


def testing(dense: F32, candidates: int, limit: int, selection: qdrant.Filter) -> qdrant.QueryRequest:
    """
    Return the request for the `limit` best, with scores above 0, that match among `candidates` points.

    Candidates are the best of all points in 4 bits. The filter of a request would be applied before they are found,
    hence the formula.
    """
    best = [qdrant.Prefetch(candidates, _coarse_query(dense))]
    matches = qdrant.Expression.Mult(
        [qdrant.Expression.Variable("$score"), qdrant.Expression.Condition(cast(Any, selection))]
    )
    return qdrant.QueryRequest(
        limit=limit,
        query=qdrant.Formula(cast(Any, matches), {}),
        prefetches=[qdrant.Prefetch(candidates, dense_query(dense), prefetches=best)],
        score_threshold=_LEAST_SCORE,
    )


def count_candidates(k: int) -> int:
    """Return how many of the best in 4 bits hold the k best."""
    return 2 * k + _COARSE_MARGIN


def estimate(selection: qdrant.Filter) -> qdrant.CountRequest:
    """Return the request for the approximate number of points that match."""
    return qdrant.CountRequest(exact=False, filter=selection)


def dense_query(vector: F32) -> Any:
    """Return the query by cosine."""
    return qdrant.Query.Nearest(cast(Any, vector), using=points.DENSE)


def sparse_query(vector: SparseVector) -> Any:
    """Return the query by inner product with a sparse vector."""
    return qdrant.Query.Nearest(points.to_sparse(vector), using=points.SPARSE)


def token_query(vectors: F16) -> Any:
    """Return the query by late interaction. Its score is the mean over the rows of their greatest products."""
    return qdrant.Query.Nearest(cast(Any, vectors.astype(np.float32) / np.float32(len(vectors))), using=points.LATE)


def _vector_query(dense: F32 | None, sparse: SparseVector | None) -> Any:
    if dense is not None:
        return dense_query(dense)
    assert sparse is not None  # noqa: S101 a search is by one of them
    return sparse_query(sparse)


def _coarse_query(vector: F32) -> Any:
    return qdrant.Query.Nearest(cast(Any, vector), using=points.COARSE)
