"""Sparse vectors as lists of pairs, the way TEI and the Unified Embedding API write them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel

from gateways.core.backend import SparseVector


class Weight(BaseModel):
    """A term and how much it weighs."""

    index: int
    value: float


def pairs(rows: Sequence[SparseVector]) -> list[list[dict[str, Any]]]:
    """Return one list of `{"index", "value"}` per vector."""
    return [
        [
            # The weights stay float32: they are written in their shortest form.
            {"index": index, "value": value}
            for index, value in zip(row.indices.tolist(), row.values, strict=True)
        ]
        for row in rows
    ]
