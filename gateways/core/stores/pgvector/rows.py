"""Rows of the tables: passages with their dense and token vectors, and their terms."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Sequence
from typing import Any

import numpy as np
import orjson
from pgvector import Vector
from psycopg.types.json import Jsonb

from gateways.core.backend import F16, SparseVector
from gateways.core.stores.base import Passage, Vectors, read_passage_id
from gateways.core.stores.keys import document_key, passage_key, text_key
from gateways.core.stores.pgvector.filter import replace_nul


def passage_row(passage: Passage, vectors: Vectors) -> tuple[Any, ...]:
    """Return the row of a passage, in the order of the table's columns."""
    return (
        passage_key(passage),
        document_key(passage.document_id),
        passage.number,
        text_key(passage.text),
        orjson.dumps(dataclasses.asdict(passage)),
        Jsonb(replace_nul(passage.metadata), dumps=orjson.dumps),
        Vector(vectors.dense),
        None if vectors.late is None else vectors.late.astype(np.float16).tobytes(),
    )


def term_columns(
    passages: Sequence[Passage], vectors: Sequence[Vectors]
) -> tuple[list[int], list[uuid.UUID], list[float]]:
    """Return the terms of all passages as columns of equal length: terms, passage keys, weights."""
    terms: list[int] = []
    keys: list[uuid.UUID] = []
    weights: list[float] = []
    for passage, row in zip(passages, vectors, strict=True):
        terms += row.sparse.indices.tolist()
        weights += row.sparse.values.tolist()
        keys += [passage_key(passage)] * len(row.sparse.indices)
    return terms, keys, weights


def to_passage(column: bytes) -> Passage:
    """Return the passage of the column `passage`."""
    fields = orjson.loads(column)
    fields["id"] = read_passage_id(fields["id"], fields["document_id"], fields.get("number", 0))
    return Passage(**fields)


def to_vectors(
    dimensions: int, dense: Any, tokens: bytes | None, terms: list[int] | None, weights: list[float] | None
) -> Vectors:
    """Return the vectors of a row: dense float32 (dimensions,), tokens float16 (n, dimensions) if stored."""
    vector = np.asarray(dense.to_numpy() if isinstance(dense, Vector) else dense, np.float32)
    sparse = SparseVector(np.array(terms or [], np.uint32), np.array(weights or [], np.float32))
    return Vectors(vector, sparse, None if tokens is None else to_tokens(tokens, dimensions))


def to_tokens(column: bytes, dimensions: int) -> F16:
    """Return the token vectors of the column `tokens`, float16 (n, dimensions)."""
    return np.frombuffer(column, np.float16).reshape(-1, dimensions)
