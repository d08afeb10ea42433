"""What the embed service is asked."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from gateways.core.api.embeddings import Input
from gateways.core.backend import EncodeOptions
from gateways.core.http.schemas import Items, Lenient


class _OfModel(Lenient):
    model: str | None = Field(None, description="Id or alias; default: the first model of the kind.")


class _Request(_OfModel):
    truncate: Literal["END", "START", "NONE"] = "END"
    lane: Literal["interactive", "bulk"] | None = None

    def options(self) -> EncodeOptions:
        """Return the options of the backend."""
        return EncodeOptions(self.truncate, self.lane)


class EmbedRequest(_Request):
    """Texts, or lists of token ids."""

    texts: Input
    normalize: bool = Field(True, description="JSON answers only; the binary one holds vectors as pooled.")
    tokens: bool = Field(False, description="Send the vectors of their tokens too, of unit length.")

    def options(self) -> EncodeOptions:
        """Return the options of the backend."""
        return EncodeOptions(self.truncate, self.lane, self.tokens)


class SparseRequest(_Request):
    """Texts to weigh the vocabulary for."""

    texts: Input
    query: bool = Field(False, description="They are queries: BM25 weighs those otherwise.")


class RerankRequest(_Request):
    """A query, and documents to score."""

    query: str
    documents: Items[str]


class TokenizeRequest(_OfModel):
    """Texts to show the tokens of."""

    texts: Items[str]


class ChunkRequest(_OfModel):
    """Texts to cut, into chunks of how many tokens, and how many of them two neighbours may share."""

    texts: Items[str]
    max_tokens: int = Field(gt=0)
    overlap: int = Field(0, ge=0)
