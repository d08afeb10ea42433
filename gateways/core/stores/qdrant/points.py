"""Points of the server: passages with their vectors, the filters that select them, and the layout of a collection."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import numpy as np
from qdrant_client import models

from gateways.core.backend import SparseVector
from gateways.core.profiles import Profile
from gateways.core.stores.base import Passage, Vectors
from gateways.core.stores.keys import passage_key
from gateways.core.stores.payloads import CONTINUATION, to_payload

DENSE, SPARSE, LATE = "dense", "sparse", "late"


def to_point(passage: Passage, vectors: Vectors) -> models.PointStruct:
    """Return the point of a passage. Its id depends on the document and the number of the passage alone."""
    named: dict[str, Any] = {DENSE: vectors.dense.tolist(), SPARSE: to_sparse(vectors.sparse)}
    if vectors.late is not None:
        named[LATE] = vectors.late.astype(np.float32).tolist()
    return models.PointStruct(id=str(passage_key(passage)), vector=named, payload=to_payload(passage))


def to_key(point_id: int | str | uuid.UUID) -> uuid.UUID:
    """Return the key of the passage of a point."""
    return uuid.UUID(str(point_id))


def to_vectors(named: Any) -> Vectors:
    """Return the vectors of a record, which has them by name."""
    terms = named[SPARSE]
    indices, values = np.asarray(terms.indices, np.uint32), np.asarray(terms.values, np.float32)
    late = np.asarray(named[LATE], np.float16) if LATE in named else None
    return Vectors(np.asarray(named[DENSE], np.float32), SparseVector(indices, values), late)


def to_sparse(vector: SparseVector) -> models.SparseVector:
    """Return a sparse vector in the client's type."""
    return models.SparseVector(indices=vector.indices.tolist(), values=vector.values.tolist())


def document_filter(document_id: str) -> models.Filter:
    """Return the filter for all passages of a document."""
    return models.Filter(must=[models.FieldCondition(key="document_id", match=models.MatchValue(value=document_id))])


def continuation_filter(document_ids: Iterable[str]) -> models.Filter:
    """Return the filter for all passages of these documents except their first ones."""
    documents = models.FieldCondition(key="document_id", match=models.MatchAny(any=sorted(document_ids)))
    return models.Filter(must=[documents, marked(CONTINUATION)])


def marked(*marks: str) -> models.FieldCondition:
    """Return the condition that a passage has one of these marks."""
    return models.FieldCondition(key="marks", match=models.MatchAny(any=list(marks)))


def vectors_config(profile: Profile) -> dict[str, Any]:
    """Return the named vectors of a collection, as arguments of its creation."""
    vectors = {DENSE: models.VectorParams(size=profile.dimensions, distance=models.Distance.COSINE, on_disk=True)}
    if profile.late_interaction:
        # Token vectors only rescore chosen passages, so they have no graph.
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
