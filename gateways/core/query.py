"""A query as its search needs it: as a vector, as weighed words, and as the vectors of its tokens."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Literal, TypeAlias

from gateways.core.backend import F16, F32, SparseVector, Timings
from gateways.core.encoders import Encoders
from gateways.core.profiles import Profile
from gateways.core.vectors import normalize

Mode: TypeAlias = Literal["dense", "sparse", "hybrid"]


@dataclass(frozen=True, slots=True)
class EncodedQuery:
    """
    A (dimensions,) unit vector, a sparse one, or both; `model` is that which searches, `timings` what was waited for.

    `tokens` are the unit vectors (q, dimensions) of its tokens, where a late interaction compares them.
    """

    dense: F32 | None
    sparse: SparseVector | None
    model: str
    timings: Timings
    tokens: F16 | None = None

    def searched_by(self, mode: Mode) -> tuple[F32 | None, SparseVector | None]:
        """Return those vectors that a mode retrieves by."""
        return None if mode == "sparse" else self.dense, None if mode == "dense" else self.sparse


async def encode(encoders: Encoders, query: str, mode: Mode, profile: Profile, *, tokens: bool) -> EncodedQuery:
    """Encode a query for a mode, and with `tokens` for a late interaction too, by one pass of each model at most."""
    if mode == "dense":
        return await _dense(encoders, query, profile, tokens=tokens)
    if mode == "sparse" and not tokens:
        return await _sparse(encoders, query, profile)
    dense, sparse = await asyncio.gather(
        _dense(encoders, query, profile, tokens=tokens), _sparse(encoders, query, profile)
    )
    # Both ran at once: the longer one is what was waited for.
    longer = max(dense.timings, sparse.timings, key=lambda its: its.tokenize_ms + its.queue_ms + its.infer_ms)
    model = sparse.model if mode == "sparse" else dense.model
    return EncodedQuery(dense.dense, sparse.sparse, model, longer, dense.tokens)


async def _dense(encoders: Encoders, query: str, profile: Profile, *, tokens: bool) -> EncodedQuery:
    model = encoders.model(profile.embedding_model)
    prompted = [dict(model.prompts)["query"] + query]
    embedded = await encoders.embed(model, prompted, tokens=tokens)
    its = embedded.tokens
    return EncodedQuery(normalize(embedded.vectors)[0], None, model.id, embedded, its.vectors if its else None)


async def _sparse(encoders: Encoders, query: str, profile: Profile) -> EncodedQuery:
    model = encoders.model(profile.sparse_model, "sparse")
    weighed = await encoders.embed_sparse(model, [query], query=True)
    return EncodedQuery(None, weighed.rows[0], model.id, weighed)
