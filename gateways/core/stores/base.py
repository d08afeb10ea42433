"""What search and ingest need of a vector store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from gateways.core.backend import F32
from gateways.core.stores.filters import Condition

Metadata = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Passage:
    """A stretch of a document: characters `start` to `end` of it."""

    id: str
    document_id: str
    text: str
    start: int
    end: int
    metadata: Metadata = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Hit:
    """A passage that search found, with its cosine to the query."""

    passage: Passage
    score: float


class VectorStore(Protocol):
    """
    Passages and their unit vectors, in named collections.

    What `flush` and `delete` acknowledged survives kill -9 and a power cut; what only `upsert` did may not.
    """

    def names(self) -> Sequence[str]:
        """Return the names of the collections."""
        ...

    async def upsert(self, collection: str, passages: Sequence[Passage], vectors: F32) -> None:
        """Write n passages and their float32 (n, dimensions) unit vectors; the same passage id is replaced."""
        ...

    async def search(
        self, collection: str, vector: F32, k: int, where: Condition | None, min_score: float | None
    ) -> list[Hit]:
        """
        Return the k nearest to a (dimensions,) unit vector, best first.

        Raises NotFound for an unknown collection.
        """
        ...

    async def document(self, collection: str, document_id: str) -> list[Passage]:
        """Return the passages of a document in order; empty when there is none."""
        ...

    async def delete(self, collection: str, document_id: str) -> bool:
        """Forget a document, durably; say whether there was one."""
        ...

    def count(self) -> int:
        """Return the number of passages in all collections."""
        ...

    async def known(self, collection: str, texts: Sequence[str]) -> dict[str, F32]:
        """Return the unit vectors of those texts that are passages of the collection already."""
        ...

    async def flush(self, collection: str) -> None:
        """Return once everything written to a collection is on disk."""
        ...

    def close(self) -> None:
        """Write everything and let go of the files."""
        ...
