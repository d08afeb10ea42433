"""Query encoding: a dense vector, a sparse vector and token vectors, as the search mode needs them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gateways.core.backend import F16, F32, EncodeOptions, SparseVector, Timings
from gateways.core.models.registry import ModelRegistry
from gateways.core.profiles import Profile
from gateways.core.scoring.vectors import normalize

Mode: TypeAlias = Literal["dense", "sparse", "hybrid"]


@dataclass(frozen=True, slots=True)
class EncodedQuery:
    """
    A query's (dimensions,) unit vector, its sparse vector, or both.

    `model` is the id of the searching model, `timings` the time that the request waited. `tokens` are the unit
    vectors (q, dimensions) of the query's tokens, None without late interaction.
    """

    dense: F32 | None
    sparse: SparseVector | None
    model: str
    timings: Timings
    tokens: F16 | None = None

    def searched_by(self, mode: Mode) -> tuple[F32 | None, SparseVector | None]:
        """Return the dense and the sparse vector that a mode retrieves by; None for a vector that it does not use."""
        return None if mode == "sparse" else self.dense, None if mode == "dense" else self.sparse


async def encode(registry: ModelRegistry, query: str, mode: Mode, profile: Profile, *, tokens: bool) -> EncodedQuery:
    """
    Encode a query for a mode, one pass per model; `tokens` true adds token vectors for late interaction.

    Raises BackendUnavailable if the models do not make vectors like those stored any more.
    """
    registry.check_source(profile.vector_source, profile.embedding_model, profile.sparse_model)
    if mode == "dense":
        return await _encode_dense(registry, query, profile, tokens=tokens)
    if mode == "sparse" and not tokens:
        return await _encode_sparse(registry, query, profile)
    dense, sparse = await asyncio.gather(
        _encode_dense(registry, query, profile, tokens=tokens), _encode_sparse(registry, query, profile)
    )
    # Both encodings ran at the same time, so the request waited for the longer one.
    longer = max(dense.timings, sparse.timings, key=_total_ms)
    model = sparse.model if mode == "sparse" else dense.model
    return EncodedQuery(dense.dense, sparse.sparse, model, longer, dense.tokens)


def _total_ms(timings: Timings) -> float:
    return timings.tokenize_ms + timings.queue_ms + timings.infer_ms


async def _encode_dense(registry: ModelRegistry, query: str, profile: Profile, *, tokens: bool) -> EncodedQuery:
    model = registry.model(profile.embedding_model)
    prompted = [dict(model.prompts)["query"] + query]
    embedded = await registry.embed(model, prompted, EncodeOptions(tokens=tokens))
    token_vectors = embedded.tokens.vectors if embedded.tokens else None
    return EncodedQuery(normalize(embedded.vectors)[0], None, model.id, embedded, token_vectors)


async def _encode_sparse(registry: ModelRegistry, query: str, profile: Profile) -> EncodedQuery:
    model = registry.model(profile.sparse_model, "sparse")
    weighed = await registry.embed_sparse(model, [query], query=True)
    return EncodedQuery(None, weighed.rows[0], model.id, weighed)
