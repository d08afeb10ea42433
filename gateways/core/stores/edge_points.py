"""Passages as points of the engine, and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, cast

import numpy as np
import qdrant_edge as qdrant

from gateways.core.backend import SparseVector
from gateways.core.stores import payloads
from gateways.core.stores.base import Passage, Vectors
from gateways.core.stores.identity import passage_key, text_key

# COARSE are the dense vectors again, in 4 bits a dimension.
DENSE, COARSE, SPARSE, LATE = "dense", "coarse", "sparse", "late"

LATER = [qdrant.FieldCondition("marks", match=qdrant.MatchValue(payloads.LATER))]


def point(passage: Passage, vectors: Vectors, coarse: bool) -> qdrant.Point:
    """Return the point of a passage: the same document and number give the same id."""
    named: Any = {DENSE: vectors.dense, SPARSE: sparse(vectors.sparse)}
    if coarse:
        named[COARSE] = vectors.dense
    if vectors.late is not None:
        # The engine reads number by number: slowly what NumPy gives it; as a list a row would take 12 KB meanwhile.
        named[LATE] = [memoryview(row) for row in vectors.late.astype(np.float32)]
    return qdrant.Point(passage_key(passage), named, payloads.of_passage(passage))


def sparse(vector: SparseVector) -> qdrant.SparseVector:
    """Return the engine's form of a sparse vector."""
    return qdrant.SparseVector(cast(Any, vector.indices), cast(Any, vector.values))


def vectors(stored: Any) -> Vectors:
    """Return the vectors that a record holds."""
    terms = stored[SPARSE]
    indices, values = np.asarray(terms.indices, np.uint32), np.asarray(terms.values, np.float32)
    late = np.asarray(stored[LATE], np.float16) if LATE in stored else None
    return Vectors(np.asarray(stored[DENSE], np.float32), SparseVector(indices, values), late)


def of_document(document_id: str) -> qdrant.Filter:
    """Return the filter for all passages of a document."""
    return qdrant.Filter(must=[qdrant.FieldCondition("document_id", match=qdrant.MatchValue(document_id))])


def later_of(documents: Iterable[str]) -> qdrant.Filter:
    """Return the filter for all passages of these documents but their first ones."""
    named = qdrant.FieldCondition("document_id", match=qdrant.MatchAny(list(documents)))
    return qdrant.Filter(must=[named, *LATER])


def with_text(texts: Iterable[str]) -> qdrant.Filter:
    """Return the filter for passages with one of these texts, give or take a collision of hashes."""
    hashes = qdrant.MatchAny([text_key(text) for text in texts])
    return qdrant.Filter(must=[qdrant.FieldCondition("marks", match=hashes)])
