"""Sparse vectors as lists of pairs, the format of TEI and of the Unified Embedding API."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from gateways.core.backend import SparseVector


class Weight(BaseModel):
    """A term and its weight."""

    index: int
    value: float


def pairs(rows: Sequence[SparseVector]) -> list[list[dict[str, Any]]]:
    """Return one list of `{"index", "value"}` per vector."""
    return [
        [
            # Weights stay float32, so that orjson writes their shortest decimal form.
            {"index": index, "value": value}
            for index, value in zip(row.indices.tolist(), row.values, strict=True)
        ]
        for row in rows
    ]
