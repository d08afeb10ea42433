"""Retrieval profiles: how the passages of a collection are cut, embedded, retrieved and ranked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from gateways.core.backend import Kind, ModelInfo
from gateways.core.errors import Conflict, InvalidRequest
from gateways.core.scoring import bm25
from gateways.core.scoring.fusion import Fusion, Weights
from gateways.core.vector_source import VectorSource, parse_source

TOP_K = 5
# Fewer tokens hardly hold a sentence.
MIN_CHUNK_TOKENS = 8


@dataclass(frozen=True, slots=True)
class Chunking:
    """Passages of at most `max_tokens`, of which up to `overlap` repeat the end of the previous passage."""

    max_tokens: int
    overlap: int = 0


@dataclass(frozen=True, slots=True)
class Profile:
    """
    The models of a collection, by id, and the defaults of its searches.

    With `late_interaction` token vectors are stored as well, for a late-interaction reranker. `fusion` None means
    reciprocal rank fusion for two rankings, and the weights fitted for the model for late interaction.
    `vector_source` is what made the stored vectors, None if unknown: an earlier version wrote them.
    """

    embedding_model: str
    dimensions: int
    sparse_model: str
    reranker_model: str | None = None
    top_k: int = TOP_K
    chunk: Chunking | None = None
    late_interaction: bool = False
    fusion: Fusion | None = None
    vector_source: VectorSource | None = None

    @property
    def idf(self) -> bool:
        """Return whether the store multiplies by the inverse document frequency, which bm25 leaves to it."""
        return self.sparse_model == bm25.ID

    def shares_vectors(self, other: Profile) -> bool:
        """Return whether passages written under one profile can be searched under the other."""
        return (self.embedding_model, self.dimensions, self.sparse_model, self.late_interaction) == (
            other.embedding_model,
            other.dimensions,
            other.sparse_model,
            other.late_interaction,
        )

    def with_source(self, source: VectorSource | None) -> Profile:
        """Return this profile with another source of vectors."""
        return replace(self, vector_source=source)

    def fields_without_source(self) -> dict[str, Any]:
        """Return the fields that gateways of the version before read too: these refuse any other field."""
        return {name: value for name, value in asdict(self).items() if name != "vector_source"}


def parse_profile(values: Mapping[str, Any]) -> Profile:
    """
    Return the profile of a JSON object; fields of a later version are ignored.

    Raises KeyError or TypeError if it is not a profile.
    """
    names = {field.name for field in fields(Profile)} - {"chunk", "fusion", "vector_source"}
    chunk, fusion, source = values["chunk"], values.get("fusion"), values.get("vector_source")
    return Profile(
        **{name: value for name, value in values.items() if name in names},
        chunk=Chunking(**chunk) if chunk else None,
        fusion=Weights(**fusion) if isinstance(fusion, dict) else fusion,
        vector_source=parse_source(source) if source else None,
    )


class StoreMismatch(Exception):
    """A collection holds vectors of a model that this gateway does not serve."""


def check_served(name: str, profile: Profile, models: Sequence[ModelInfo]) -> None:
    """Raise StoreMismatch unless `models` include all models of the vectors of a collection."""
    served = {(model.kind, model.id): model for model in models}
    dense = served.get(("dense", profile.embedding_model))
    if dense is None or dense.dimensions != profile.dimensions:
        model = f"{profile.embedding_model} ({profile.dimensions} dimensions)"
        raise _mismatch_error(name, model, "dense", models, setting=f"MODEL={profile.embedding_model}")
    if ("sparse", profile.sparse_model) not in served:
        raise _mismatch_error(name, profile.sparse_model, "sparse", models)
    if profile.late_interaction and not any(model.of == profile.embedding_model for model in models):
        model = f"{profile.embedding_model}, with the vectors of its tokens"
        raise _mismatch_error(name, model, "rerank", models, setting=f"MODEL={profile.embedding_model}")


def vectors_conflict(name: str, current: Profile, requested: Profile) -> Conflict:
    """Return the error about a collection whose documents have other vectors than a requested profile."""
    different = next(
        (
            field
            for field in ("embedding_model", "sparse_model")
            if getattr(requested, field) != getattr(current, field)
        ),
        "late_interaction",
    )
    return Conflict(
        f"collection {name!r} holds documents embedded with {_describe_vectors(current)}, and "
        f"{_describe_vectors(requested)} cannot search those: DELETE it first, or ingest into another collection.",
        param=different,
        code="collection_not_empty",
    )


def check_chunking(chunk: Chunking, model: ModelInfo, path: str = "chunk") -> None:
    """Raise InvalidRequest if the passages are too short to be useful, or longer than the model reads."""
    limit = model.max_input_tokens - sum(model.frame)
    if not MIN_CHUNK_TOKENS <= chunk.max_tokens <= limit:
        raise InvalidRequest(
            f"{path}.max_tokens is {chunk.max_tokens}; {model.id} takes passages of {MIN_CHUNK_TOKENS} to {limit} "
            "tokens, special tokens aside.",
            param=f"{path}.max_tokens",
        )
    if not 0 <= chunk.overlap < chunk.max_tokens / 2:
        raise InvalidRequest(
            f"{path}.overlap is {chunk.overlap}; it must be less than half of max_tokens ({chunk.max_tokens}).",
            param=f"{path}.overlap",
        )


def _mismatch_error(
    name: str, model: str, kind: Kind, models: Sequence[ModelInfo], *, setting: str | None = None
) -> StoreMismatch:
    remedy = f"Set {setting}" if setting else "Serve that model"
    return StoreMismatch(
        f"collection {name!r} was embedded with {model}, and this gateway serves {_describe_served(kind, models)}. "
        f"{remedy} to serve it as before, or use another DATA_DIR or database and ingest again."
    )


def _describe_served(kind: Kind, models: Sequence[ModelInfo]) -> str:
    """Return the models that would have to be the ones of a collection."""
    if kind == "rerank":
        compared = [info.of for info in models if info.of]
        return f"those of {', '.join(compared)}" if compared else "no reranker that compares tokens"
    served = [info for info in models if info.kind == kind]
    return ", ".join(f"{info.id} ({info.dimensions} dimensions)" if kind == "dense" else info.id for info in served)


def _describe_vectors(profile: Profile) -> str:
    tokens = "with" if profile.late_interaction else "without"
    return f"{profile.embedding_model} and {profile.sparse_model} {tokens} late interaction"
