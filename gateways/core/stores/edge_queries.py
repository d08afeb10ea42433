"""What is asked of the engine: a ranking, or how some passages score."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any, cast

import numpy as np
import qdrant_edge as qdrant

from gateways.core.backend import F16, F32, SparseVector
from gateways.core.stores import edge_points as points
from gateways.core.stores.edge_filter import translate
from gateways.core.stores.filters import Condition

# The best k of 11,967 passages were, for all of 1,600 questions, among the 2k that are best in 4 bits a dimension.
_MORE = 16


def by(
    dense: F32 | None,
    sparse: SparseVector | None,
    k: int,
    where: Condition | None,
    min_score: float | None = None,
    *,
    with_payload: bool = False,
    coarse: bool = False,
) -> qdrant.QueryRequest:
    """
    Return the request for the k best by the one vector that is given.

    With `coarse` they are among some more that are best in 4 bits a dimension; how they score is computed in full.
    """
    query = _nearest(dense, sparse)
    named = translate(where) if where else None
    found = (
        [qdrant.Prefetch(2 * k + _MORE, _in_four_bits(dense), filter=named)] if coarse and dense is not None else []
    )
    return qdrant.QueryRequest(
        limit=k,
        query=query,
        prefetches=found,
        filter=None if found else named,
        with_payload=with_payload,
        score_threshold=min_score,
    )


def among(point_ids: Sequence[uuid.UUID], query: Any) -> qdrant.QueryRequest:
    """Return the request for the scores of these points, their payloads left out."""
    named = qdrant.Filter(must=[qdrant.HasIdCondition(set(point_ids))])
    return qdrant.QueryRequest(limit=len(point_ids), query=query, filter=named)


def of_dense(vector: F32) -> Any:
    """Return the query by cosine."""
    return qdrant.Query.Nearest(cast(Any, vector), using=points.DENSE)


def of_sparse(vector: SparseVector) -> Any:
    """Return the query by the product with a sparse vector."""
    return qdrant.Query.Nearest(points.sparse(vector), using=points.SPARSE)


def of_tokens(vectors: F16) -> Any:
    """Return the query by late interaction; its score is the mean over the rows of their greatest products."""
    return qdrant.Query.Nearest(cast(Any, vectors.astype(np.float32) / np.float32(len(vectors))), using=points.LATE)


def _nearest(dense: F32 | None, sparse: SparseVector | None) -> Any:
    if dense is not None:
        return of_dense(dense)
    assert sparse is not None  # noqa: S101 a search is by one of them
    return of_sparse(sparse)


def _in_four_bits(vector: F32) -> Any:
    return qdrant.Query.Nearest(cast(Any, vector), using=points.COARSE)
