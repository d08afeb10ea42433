"""Search: embed the query, retrieve, fuse, rerank, and say where each passage stands."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gateways.core import fusion, stages
from gateways.core.backend import F32, ModelInfo
from gateways.core.encoders import Encoders
from gateways.core.errors import GatewayError, InvalidRequest
from gateways.core.explain import explain
from gateways.core.fusion import Weights
from gateways.core.profiles import Profile
from gateways.core.query import EncodedQuery, Mode, encode
from gateways.core.scores import relevance
from gateways.core.stores import filters
from gateways.core.stores.base import FUSED, Collection, Hit, VectorStore

# By the name of a ranking, its hits, best first.
Rankings: TypeAlias = Mapping[str, Sequence[Hit]]

# So many passages are reranked, at least: enough for the right one to be among them, few enough for a CPU.
RERANKED = 20
# What each mode knows of a passage when its tokens are compared too: a query for those is embedded anyway.
_RETRIEVED: Mapping[Mode, frozenset[str]] = {
    "dense": frozenset({"dense"}),
    "sparse": frozenset({"dense", "sparse"}),
    "hybrid": frozenset({"dense", "sparse"}),
}
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
class _Plan:
    """
    How a question is answered: so many results out of so many candidates, none retrieved below `min_score`.

    With `stored`, the reranker compares the tokens that the collection holds; else it reads the candidates. With
    `weighed`, the stored scores of each candidate are added up, by `weights` where they are known.
    """

    top_k: int
    candidates: int
    min_score: float | None
    reranker: ModelInfo | None
    stored: bool = False
    weighed: bool = False
    weights: Weights | None = None


@dataclass(frozen=True, slots=True)
class _Judged:
    """The final ranking, it and others by name, and what passages scored in rankings that did not retrieve them."""

    hits: Sequence[Hit]
    rankings: Rankings = field(default_factory=dict)
    scored: Rankings = field(default_factory=dict)


async def search(encoders: Encoders, store: VectorStore, asked: Question) -> Found:
    """Return the passages of a collection that answer best; whatever is wrong with the question costs no model."""
    started_s = time.perf_counter()
    condition = filters.parse(asked.where) if asked.where else None
    collection = store.collection(asked.collection)
    plan = _plan(encoders, asked, collection.profile)
    query = await encode(encoders, asked.query, asked.mode, collection.profile, tokens=plan.stored)
    retrieving_s = time.perf_counter()
    hits = await collection.search(*query.searched_by(asked.mode), plan.candidates, condition, plan.min_score)
    retrieved_s = time.perf_counter()
    judged = await _judge(encoders, collection, plan, asked, query, hits)
    best = judged.hits[: plan.top_k]
    finished_s = time.perf_counter()
    stages.took("retrieve", retrieving_s, retrieved_s)
    if plan.reranker:
        stages.took("rerank", retrieved_s, finished_s, plan.reranker.id)
    explained: Sequence[dict[str, Any]] = ()
    if asked.explain:
        retrieved = await _rankings(asked.mode, query, collection, condition, plan.candidates, hits)
        explained = explain(best, {**retrieved, **judged.rankings}, judged.scored)
    return Found(
        hits=best,
        model=query.model,
        reranker=plan.reranker.id if plan.reranker else None,
        took_ms=round((time.perf_counter() - started_s) * 1e3, 3),
        timings_ms={
            "tokenize": round(query.timings.tokenize_ms, 3),
            "queue": round(query.timings.queue_ms, 3),
            "infer": round(query.timings.infer_ms, 3),
            "retrieve": round((retrieved_s - retrieving_s) * 1e3, 3),
            "rerank": round((finished_s - retrieved_s) * 1e3, 3) if plan.reranker else 0.0,
        },
        explained=explained,
    )


def _plan(encoders: Encoders, asked: Question, profile: Profile) -> _Plan:
    reranker = _reranker(encoders, asked, profile)
    _check_min_score(asked, reranker)
    top_k = asked.top_k or profile.top_k
    stored = reranker is not None and profile.late_interaction and reranker.of == profile.embedding_model
    kinds = _RETRIEVED[asked.mode] | {"late"} if stored else _RETRIEVED[asked.mode]
    weights = fusion.weights(profile.fusion, profile.embedding_model, kinds)
    weighed = stored or (reranker is None and asked.mode == "hybrid" and bool(profile.fusion and weights))
    if reranker is None and not weighed:
        return _Plan(top_k, top_k, asked.min_score, None)
    return _Plan(top_k, max(top_k, RERANKED), None, reranker, stored, weighed, weights)


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


async def _judge(
    encoders: Encoders,
    collection: Collection,
    plan: _Plan,
    asked: Question,
    query: EncodedQuery,
    hits: Sequence[Hit],
) -> _Judged:
    """Order the hits as planned: as they are, by what the reranker reads, or by their stored scores."""
    if not hits or (plan.reranker is None and not plan.weighed):
        return _Judged(hits)
    if not plan.weighed:
        assert plan.reranker  # noqa: S101 it is that or weights
        read = await encoders.rerank(plan.reranker, asked.query, [hit.passage.text for hit in hits])
        ordered = _ordered(hits, relevance(plan.reranker, read.values), asked.min_score)
        return _Judged(ordered, {"rerank": ordered})
    scores = await collection.scores([hit.passage for hit in hits], query.dense, query.sparse, query.tokens)
    ordered = _ordered(hits, fusion.fuse(scores, plan.weights), asked.min_score)
    if not asked.explain:
        return _Judged(ordered)
    scored = {kind: _ordered(hits, values, None) for kind, values in scores.items()}
    final = {"late": scored.pop("late"), "rerank": ordered} if plan.stored else {"fused": ordered}
    return _Judged(ordered, final, scored)


def _ordered(hits: Sequence[Hit], scores: F32, min_score: float | None) -> list[Hit]:
    """Return the hits by these scores, best first; equal ones stay in the order in which they were retrieved."""
    judged = [Hit(hit.passage, score) for hit, score in zip(hits, scores.tolist(), strict=True)]
    judged.sort(key=lambda hit: hit.score, reverse=True)
    return [hit for hit in judged if min_score is None or hit.score >= min_score]


async def _rankings(
    mode: Mode,
    query: EncodedQuery,
    collection: Collection,
    condition: filters.Condition | None,
    candidates: int,
    hits: Sequence[Hit],
) -> Rankings:
    """Return the rankings that made `hits`; those that were fused are made again, as deep as they were."""
    if mode != "hybrid":
        return {mode: hits}
    deep = max(candidates, FUSED)
    return {
        "dense": await collection.search(query.dense, None, deep, condition),
        "sparse": await collection.search(None, query.sparse, deep, condition),
        "fused": hits,
    }
