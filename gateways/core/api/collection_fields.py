"""Fields of request bodies, paths and query strings: the name of a collection, and its chunking."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from fastapi import Path, Query
from pydantic import Field, StringConstraints

from gateways.core.http.schemas import Strict
from gateways.core.profiles import Chunking

# The name of a collection is that of its folder.
PATTERN = r"^[A-Za-z0-9_-]{1,64}$"

Collection: TypeAlias = Annotated[str, StringConstraints(pattern=PATTERN)]
COLLECTION: TypeAlias = Annotated[str, Query(pattern=PATTERN)]
NAME: TypeAlias = Annotated[str, Path(pattern=PATTERN)]
PAGE_SIZE: TypeAlias = Annotated[int, Query(ge=1, le=1_000)]


class Chunk(Strict):
    """Cut documents into as few passages as possible, at paragraphs, sentences and words."""

    max_tokens: int = Field(
        description="Maximum tokens of a passage, without special tokens: 8 to the limit of the model."
    )
    overlap: int = Field(
        0, description="Maximum tokens that a passage shares with the next one; less than half of `max_tokens`."
    )

    def chunking(self) -> Chunking:
        """Return the chunking of a profile."""
        return Chunking(self.max_tokens, self.overlap)
