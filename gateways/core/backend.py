"""The waist: what every gateway offers the rest, whatever runs behind it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt

F32: TypeAlias = npt.NDArray[np.float32]
TokenIds: TypeAlias = list[int]
Inputs: TypeAlias = Sequence[str | TokenIds]
Truncate: TypeAlias = Literal["END", "START", "NONE"]
Lane: TypeAlias = Literal["interactive", "bulk"]

# sentence-transformers gives every model these two, empty unless the model says otherwise.
NO_PROMPTS = (("query", ""), ("document", ""))


@dataclass(frozen=True, slots=True)
class ModelInfo:
    """What `/v1/models` tells of a model; `inference_time_ms` is one warm 16-token text, measured at start."""

    id: str
    kind: str
    dimensions: int
    max_input_tokens: int
    languages: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    prompts: tuple[tuple[str, str], ...] = NO_PROMPTS
    precision: str = "fp32"
    device: str = "cpu"
    loaded: bool = True
    inference_time_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Embeddings:
    """
    One answer of a backend.

    `vectors` is float32 (n, dimensions), pooled and *not* normalised; `token_counts` the n counts of tokens the
    model read, special ones included, after truncation. The times are of the whole request.
    """

    vectors: F32
    token_counts: Sequence[int]
    tokenize_ms: float = 0.0
    queue_ms: float = 0.0
    infer_ms: float = 0.0


class Backend(Protocol):
    """Text to vectors. Entering it loads and warms the model; it serves from then on until it is left."""

    async def __aenter__(self) -> Self: ...

    async def __aexit__(self, *exc_info: object) -> None: ...

    def models(self) -> Sequence[ModelInfo]:
        """Return the models it can serve, the default one first; empty until it is ready."""
        ...

    def ready(self) -> bool:
        """Say whether a request sent now would be served."""
        ...

    def failure(self) -> str | None:
        """Return what is broken for good, so that a restart is the cure; None while nothing is."""
        ...

    async def embed(
        self, model: str, inputs: Inputs, *, truncate: Truncate = "END", lane: Lane = "interactive"
    ) -> Embeddings:
        """
        Embed n texts, or n lists of token ids, in the order given.

        Raises InvalidRequest (an input cannot be read), Overloaded, BackendUnavailable, UpstreamFailed, ModelFailed.
        """
        ...
