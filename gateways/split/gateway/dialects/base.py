"""A call to an embed service, and what a dialect is: how calls are made and their answers read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Generic, Protocol, TypeVar

import orjson

from gateways.core.backend import (
    Embeddings,
    EncodeOptions,
    Inputs,
    ModelInfo,
    Scores,
    Span,
    SparseEmbeddings,
    Token,
)

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True, slots=True)
class Ask(Generic[T_co]):
    """One call: a path, the body to post or None to get, and what makes an answer of a 200's bytes."""

    path: str
    body: bytes | None
    read: Callable[[bytes], T_co]  # ValueError, KeyError, TypeError, ...: the answer is not what it should be
    headers: dict[str, str] = field(default_factory=dict)


class Send(Protocol):
    """What makes a call. Raises GatewayError of some kind, and nothing else."""

    async def __call__(self, ask: Ask[T]) -> T:
        """Return the answer as it was read."""
        ...


class Dialect(Protocol):
    """How to ask an embed service of some make for each thing that a backend does."""

    @property
    def refresh_s(self) -> float:
        """Return the age in seconds at which the list of models is asked for again."""
        ...

    @property
    def most_inputs(self) -> int:
        """Return how many texts may go in one call."""
        ...

    async def models(self, send: Send) -> tuple[ModelInfo, ...]:
        """Return the models the upstream serves, nothing while it is not ready."""
        ...

    def embed(self, model: str, inputs: Inputs, options: EncodeOptions) -> Ask[Embeddings]:
        """Ask for a vector of each input, and with `tokens` for those of its tokens."""
        ...

    def embed_tokens(self, model: str, inputs: Inputs, options: EncodeOptions) -> Ask[Embeddings]:
        """Ask for a vector of each token."""
        ...

    async def embed_sparse(self, send: Send, model: str, inputs: Inputs, options: EncodeOptions) -> SparseEmbeddings:
        """Ask for a sparse vector of each input."""
        ...

    async def rerank(
        self, send: Send, model: str, query: str, documents: Sequence[str], options: EncodeOptions
    ) -> Scores:
        """Ask for the score of each document."""
        ...

    async def tokenize(self, send: Send, model: str, texts: Sequence[str]) -> list[list[Token]]:
        """Ask for the tokens of each text."""
        ...

    async def chunk(
        self, send: Send, model: str, texts: Sequence[str], max_tokens: int, overlap: int
    ) -> list[list[Span]]:
        """Ask where each text may be cut."""
        ...


def post(path: str, body: dict[str, Any], read: Callable[[bytes], T], accept: str = "application/json") -> Ask[T]:
    """Return the call that posts JSON."""
    return Ask(path, orjson.dumps(body), read, {"Content-Type": "application/json", "Accept": accept})
