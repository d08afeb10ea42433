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


def by(
    dense: F32 | None,
    sparse: SparseVector | None,
    k: int,
    where: Condition | None,
    min_score: float | None,
    *,
    with_payload: bool = False,
) -> qdrant.SearchRequest:
    """Return the request for the k best by the one vector that is given."""
    return qdrant.SearchRequest(
        query=_nearest(dense, sparse),
        limit=k,
        filter=translate(where) if where else None,
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
