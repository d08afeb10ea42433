"""What bodies and query strings say of a collection: its name, and how its documents are cut."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from fastapi import Path, Query
from pydantic import Field, StringConstraints

from gateways.core.api.body import Strict
from gateways.core.profiles import Chunking

# It names a folder: no dots, no slashes.
PATTERN = r"^[A-Za-z0-9_-]{1,64}$"

Collection: TypeAlias = Annotated[str, StringConstraints(pattern=PATTERN)]
COLLECTION: TypeAlias = Annotated[str, Query(pattern=PATTERN)]
NAME: TypeAlias = Annotated[str, Path(pattern=PATTERN)]


class Chunk(Strict):
    """Cut documents into passages at paragraphs, sentences and words, as few as fit."""

    max_tokens: int = Field(description="Tokens of a passage at most, special tokens aside; 8 to the model's limit.")
    overlap: int = Field(0, description="Tokens at its end that a passage may share with the next; under half.")

    def chunking(self) -> Chunking:
        """Return it as the rest of the gateway knows it."""
        return Chunking(self.max_tokens, self.overlap)
