"""Search: embed the query, retrieve, fuse, rerank, and say where each passage stands."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from gateways.core.backend import F32, ModelInfo, SparseVector, Timings
from gateways.core.encoders import Encoders
from gateways.core.errors import GatewayError, InvalidRequest
from gateways.core.explain import explain
from gateways.core.profiles import Profile
from gateways.core.scores import relevance
from gateways.core.stores import filters
from gateways.core.stores.base import FUSED, Collection, Hit, VectorStore
from gateways.core.vectors import normalize

Mode: TypeAlias = Literal["dense", "sparse", "hybrid"]

# So many passages are reranked, at least: enough for the right one to be among them, few enough for a CPU.
RERANKED = 30
# What a score of each kind can be.
_BOUNDS = {"dense": (-1.0, 1.0), "sparse": (0.0, float("inf")), "hybrid": (0.0, 1.0), "rerank": (0.0, 1.0)}


@dataclass(frozen=True, slots=True)
class Question:
    """What is looked for, and how; None for `top_k` and `rerank` leaves them to the collection's profile."""

    query: str
    collection: str
    mode: Mode = "dense"
    top_k: int | None = None
    where: dict[str, Any] | None = None
    min_score: float | None = None
    rerank: bool | str | None = None
    explain: bool = False


@dataclass(frozen=True, slots=True)
class Found:
    """What a search found, who found it, and where its time went; `explained` has one entry per hit, or none."""

    hits: Sequence[Hit]
    model: str
    reranker: str | None
    took_ms: float
    timings_ms: dict[str, float]
    explained: Sequence[dict[str, Any]] = ()


@dataclass(frozen=True, slots=True)
class _Encoded:
    """The query as the mode needs it: a (dimensions,) unit vector, a sparse one, or both."""

    dense: F32 | None
    sparse: SparseVector | None
    model: str
    timings: Timings


async def search(encoders: Encoders, store: VectorStore, asked: Question) -> Found:
    """Return the passages of a collection that answer best; whatever is wrong with the question costs no model."""
    started_s = time.perf_counter()
    condition = filters.parse(asked.where) if asked.where else None
    collection = store.collection(asked.collection)
    profile = collection.profile
    reranker = _reranker(encoders, asked, profile)
    _check_min_score(asked, reranker)
    top_k = asked.top_k or profile.top_k
    wanted, min_score = (max(top_k, RERANKED), None) if reranker else (top_k, asked.min_score)
    encoded = await _encode(encoders, asked, profile)
    retrieving_s = time.perf_counter()
    hits = await collection.search(encoded.dense, encoded.sparse, wanted, condition, min_score)
    retrieved_s = time.perf_counter()
    judged = await _reranked(encoders, reranker, asked, hits) if reranker else hits
    finished_s = time.perf_counter()
    timings_ms = {
        "tokenize": round(encoded.timings.tokenize_ms, 3),
        "queue": round(encoded.timings.queue_ms, 3),
        "infer": round(encoded.timings.infer_ms, 3),
        "retrieve": round((retrieved_s - retrieving_s) * 1e3, 3),
        "rerank": round((finished_s - retrieved_s) * 1e3, 3) if reranker else 0.0,
    }
    explained: Sequence[dict[str, Any]] = ()
    if asked.explain:
        rankings = await _rankings(asked, encoded, collection, condition, wanted, hits)
        explained = explain(judged[:top_k], rankings | ({"rerank": judged} if reranker else {}))
    took_ms = round((time.perf_counter() - started_s) * 1e3, 3)
    return Found(judged[:top_k], encoded.model, reranker.id if reranker else None, took_ms, timings_ms, explained)


def _reranker(encoders: Encoders, asked: Question, profile: Profile) -> ModelInfo | None:
    """Return the reranker that the question names, or the profile where it does not say."""
    wanted = profile.reranker_model is not None if asked.rerank is None else asked.rerank
    if wanted is False:
        return None
    try:
        return encoders.model(wanted if isinstance(wanted, str) else profile.reranker_model, "rerank")
    except GatewayError as error:
        error.param = "rerank"
        raise


def _check_min_score(asked: Question, reranker: ModelInfo | None) -> None:
    kind = "rerank" if reranker else asked.mode
    least, most = _BOUNDS[kind]
    if asked.min_score is not None and not least <= asked.min_score <= most:
        raise InvalidRequest(
            f"min_score is {asked.min_score:g}; scores of this search go from {least:g} to {most:g} ({kind}).",
            param="min_score",
        )


async def _encode(encoders: Encoders, asked: Question, profile: Profile) -> _Encoded:
    if asked.mode == "dense":
        return await _encode_dense(encoders, asked.query, profile)
    if asked.mode == "sparse":
        return await _encode_sparse(encoders, asked.query, profile)
    dense, sparse = await asyncio.gather(
        _encode_dense(encoders, asked.query, profile), _encode_sparse(encoders, asked.query, profile)
    )
    # Both ran at once: the longer one is what was waited for.
    longer = max(dense.timings, sparse.timings, key=lambda its: its.tokenize_ms + its.queue_ms + its.infer_ms)
    return _Encoded(dense.dense, sparse.sparse, dense.model, longer)


async def _encode_dense(encoders: Encoders, query: str, profile: Profile) -> _Encoded:
    model = encoders.model(profile.embedding_model)
    embedded = await encoders.embed(model, [dict(model.prompts)["query"] + query])
    return _Encoded(normalize(embedded.vectors)[0], None, model.id, embedded)


async def _encode_sparse(encoders: Encoders, query: str, profile: Profile) -> _Encoded:
    model = encoders.model(profile.sparse_model, "sparse")
    weighed = await encoders.embed_sparse(model, [query], query=True)
    return _Encoded(None, weighed.rows[0], model.id, weighed)


async def _reranked(encoders: Encoders, reranker: ModelInfo, asked: Question, hits: Sequence[Hit]) -> list[Hit]:
    """Return the hits by relevance, best first; equal ones stay in the order in which they were retrieved."""
    if not hits:
        return []
    scores = await encoders.rerank(reranker, asked.query, [hit.passage.text for hit in hits])
    values = relevance(reranker, scores.values).tolist()
    judged = [Hit(hit.passage, value) for hit, value in zip(hits, values, strict=True)]
    judged.sort(key=lambda hit: hit.score, reverse=True)
    return [hit for hit in judged if asked.min_score is None or hit.score >= asked.min_score]


async def _rankings(
    asked: Question,
    encoded: _Encoded,
    collection: Collection,
    condition: filters.Condition | None,
    wanted: int,
    hits: Sequence[Hit],
) -> dict[str, Sequence[Hit]]:
    """Return the rankings that made `hits`; those that were fused are made again, as deep as they were."""
    if asked.mode != "hybrid":
        return {asked.mode: hits}
    deep = max(wanted, FUSED)
    return {
        "dense": await collection.search(encoded.dense, None, deep, condition),
        "sparse": await collection.search(None, encoded.sparse, deep, condition),
        "fused": hits,
    }
