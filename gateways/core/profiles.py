"""Retrieval profiles: how the passages of a collection are cut, embedded, found and ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gateways.core import bm25
from gateways.core.backend import ModelInfo
from gateways.core.errors import Conflict, InvalidRequest
from gateways.core.fusion import Fusion, Weights

TOP_K = 5
# Fewer tokens are no passage: hardly a sentence fits.
MIN_CHUNK_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Chunking:
    """Passages of at most `max_tokens`, of which up to `overlap` are the last ones of the passage before."""

    max_tokens: int
    overlap: int = 0


@dataclass(frozen=True, slots=True)
class Profile:
    """
    What a collection is searched by; models are named by their ids.

    With `late_interaction` the vectors of its passages' tokens are stored too, for a reranker that compares those.
    `fusion` None fuses two rankings by ranks, and what a late interaction judges by the weights for its model.
    """

    embedding_model: str
    dimensions: int
    sparse_model: str
    reranker_model: str | None = None
    top_k: int = TOP_K
    chunk: Chunking | None = None
    late_interaction: bool = False
    fusion: Fusion | None = None

    @property
    def idf(self) -> bool:
        """Say whether the store weighs terms by how rare they are in the collection: bm25 leaves that to it."""
        return self.sparse_model == bm25.ID

    def shares_vectors(self, other: Profile) -> bool:
        """Say whether passages written under one profile are found under the other."""
        return (self.embedding_model, self.dimensions, self.sparse_model, self.late_interaction) == (
            other.embedding_model,
            other.dimensions,
            other.sparse_model,
            other.late_interaction,
        )


def profile_of(stored: Mapping[str, Any]) -> Profile:
    """Return a profile that was written as JSON; KeyError or TypeError where it is not one."""
    rest = {name: value for name, value in stored.items() if name not in ("chunk", "fusion")}
    chunk, fusion = stored["chunk"], stored.get("fusion")
    weights = Weights(**fusion) if isinstance(fusion, dict) else fusion
    return Profile(**rest, chunk=Chunking(**chunk) if chunk else None, fusion=weights)


class StoreMismatch(Exception):
    """A collection holds vectors that no model of this gateway makes."""


def check_served(name: str, profile: Profile, models: Sequence[ModelInfo]) -> None:
    """Raise StoreMismatch unless all models that a collection's vectors come from are among those served."""
    served = {(model.kind, model.id): model for model in models}
    dense = served.get(("dense", profile.embedding_model))
    if dense is None or dense.dimensions != profile.dimensions:
        raise _mismatch(name, f"{profile.embedding_model} ({profile.dimensions} dimensions)", "dense", models)
    if ("sparse", profile.sparse_model) not in served:
        raise _mismatch(name, profile.sparse_model, "sparse", models)
    if profile.late_interaction and not any(model.of == profile.embedding_model for model in models):
        raise _mismatch(name, f"the tokens of {profile.embedding_model}", "rerank", models)


def other_vectors(name: str, now: Profile, asked: Profile) -> Conflict:
    """Return the error about a collection whose documents cannot be searched as a new profile asks."""
    different = next(
        (field for field in ("embedding_model", "sparse_model") if getattr(asked, field) != getattr(now, field)),
        "late_interaction",
    )
    return Conflict(
        f"collection {name!r} holds documents embedded with {_vectors(now)}, and {_vectors(asked)} "
        "cannot search those: DELETE it first, or ingest into another collection.",
        param=different,
        code="collection_not_empty",
    )


def check_chunking(chunk: Chunking, model: ModelInfo, at: str = "chunk") -> None:
    """Raise InvalidRequest when passages of this size are no use, or longer than the model reads."""
    most = model.max_input_tokens - sum(model.frame)
    if not MIN_CHUNK_TOKENS <= chunk.max_tokens <= most:
        raise InvalidRequest(
            f"{at}.max_tokens is {chunk.max_tokens}; {model.id} takes passages of {MIN_CHUNK_TOKENS} to {most} "
            "tokens, special tokens aside.",
            param=f"{at}.max_tokens",
        )
    if not 0 <= chunk.overlap < chunk.max_tokens / 2:
        raise InvalidRequest(
            f"{at}.overlap is {chunk.overlap}; it must be less than half of max_tokens ({chunk.max_tokens}).",
            param=f"{at}.overlap",
        )


def _mismatch(name: str, wanted: str, kind: str, models: Sequence[ModelInfo]) -> StoreMismatch:
    serves = ", ".join(
        f"{model.id} ({model.dimensions} dimensions)" if kind == "dense" else model.id
        for model in models
        if model.kind == kind
    )
    return StoreMismatch(
        f"collection {name!r} holds {kind} vectors of {wanted} and this gateway serves {serves}: "
        "use another DATA_DIR or database, or serve that model"
    )


def _vectors(profile: Profile) -> str:
    tokens = "with" if profile.late_interaction else "without"
    return f"{profile.embedding_model} and {profile.sparse_model} {tokens} late interaction"
