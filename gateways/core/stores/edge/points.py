"""Points of the engine: passages with their vectors, and the filters that select them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import qdrant_edge as qdrant

from gateways.core.backend import SparseVector
from gateways.core.stores.base import Passage, Vectors
from gateways.core.stores.keys import passage_key, text_key
from gateways.core.stores.payloads import CONTINUATION, to_payload

# COARSE holds the dense vectors again, in 4 bits per dimension.
DENSE, COARSE, SPARSE, LATE = "dense", "coarse", "sparse", "late"

CONTINUATIONS = [qdrant.FieldCondition("marks", match=qdrant.MatchValue(CONTINUATION))]
FIRST_PASSAGES = qdrant.Filter(must_not=[*CONTINUATIONS])


def to_point(passage: Passage, vectors: Vectors, coarse: bool) -> qdrant.Point:
    """Return the point of a passage. Its id depends on the document and the number of the passage alone."""
    named: Any = {DENSE: vectors.dense, SPARSE: to_sparse(vectors.sparse)}
    if coarse:
        named[COARSE] = vectors.dense
    if vectors.late is not None:
        # The engine reads number by number, which is slow from NumPy. As a list, a row would take 12 KB meanwhile.
        named[LATE] = [memoryview(row) for row in vectors.late.astype(np.float32)]
    return qdrant.Point(passage_key(passage), named, to_payload(passage))


def to_sparse(vector: SparseVector) -> qdrant.SparseVector:
    """Return a sparse vector in the engine's type."""
    return qdrant.SparseVector(cast(Any, vector.indices), cast(Any, vector.values))


def to_vectors(named: Any) -> Vectors:
    """Return the vectors of a record, which has them by name."""
    terms = named[SPARSE]
    indices, values = np.asarray(terms.indices, np.uint32), np.asarray(terms.values, np.float32)
    late = np.asarray(named[LATE], np.float16) if LATE in named else None
    return Vectors(np.asarray(named[DENSE], np.float32), SparseVector(indices, values), late)


def document_filter(document_id: str) -> qdrant.Filter:
    """Return the filter for all passages of a document."""
    return qdrant.Filter(must=[qdrant.FieldCondition("document_id", match=qdrant.MatchValue(document_id))])


def continuation_filter(document_ids: Iterable[str]) -> qdrant.Filter:
    """Return the filter for all passages of these documents except their first ones."""
    documents = qdrant.FieldCondition("document_id", match=qdrant.MatchAny(list(document_ids)))
    return qdrant.Filter(must=[documents, *CONTINUATIONS])


def text_filter(texts: Iterable[str]) -> qdrant.Filter:
    """Return the filter for passages with one of these texts, or with a text of the same hash."""
    hashes = qdrant.MatchAny([text_key(text) for text in texts])
    return qdrant.Filter(must=[qdrant.FieldCondition("marks", match=hashes)])
