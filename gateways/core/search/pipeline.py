"""Search: plan, encode the query, retrieve, fuse, rerank, explain."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from gateways.core.backend import F32
from gateways.core.models.registry import ModelRegistry
from gateways.core.observability import stage_timing
from gateways.core.scoring import fusion
from gateways.core.scoring.relevance import relevance
from gateways.core.scoring.vectors import ROUNDING, clip_cosine, clip_cosines
from gateways.core.search.explain import explain
from gateways.core.search.filter_warnings import list_unknown_fields
from gateways.core.search.plan import Question, SearchPlan, make_plan
from gateways.core.search.query_encoding import EncodedQuery, Mode, encode
from gateways.core.stores import filters
from gateways.core.stores.base import FUSION_DEPTH, Collection, Hit, VectorStore

# By the name of a ranking, its hits, best first.
Rankings: TypeAlias = Mapping[str, Sequence[Hit]]


@dataclass(frozen=True, slots=True)
class SearchResult:
    """The hits, best first, the models used and the time spent; `explained` has one entry per hit, or none."""

    hits: Sequence[Hit]
    model: str
    reranker: str | None
    took_ms: float
    timings_ms: dict[str, float]
    explained: Sequence[dict[str, Any]] = ()
    warnings: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class _Ranked:
    """The final hits, the rankings by name, and the scores of kinds that did not retrieve."""

    hits: Sequence[Hit]
    rankings: Rankings = field(default_factory=dict)
    scored: Rankings = field(default_factory=dict)


async def search(
    registry: ModelRegistry, store: VectorStore, question: Question, limits: filters.Limits | None = None
) -> SearchResult:
    """Return the best passages of a collection. Errors in the question are raised before a model runs."""
    started_s = time.perf_counter()
    condition = filters.parse(question.where, limits) if question.where else None
    collection = store.collection(question.collection)
    plan = make_plan(registry, question, collection.profile)
    query = await encode(registry, question.query, question.mode, collection.profile, tokens=plan.stored)
    retrieving_s = time.perf_counter()
    hits = await _retrieve(collection, query, question.mode, plan.candidates, condition, plan.min_score)
    retrieved_s = time.perf_counter()
    ranked = await _rank(registry, collection, plan, question, query, hits)
    best = ranked.hits[: plan.top_k]
    finished_s = time.perf_counter()
    rerank_s = finished_s - retrieved_s if plan.reranker else 0.0
    stage_timing.took("retrieve", retrieving_s, retrieved_s)
    if plan.reranker:
        stage_timing.took("rerank", retrieved_s, finished_s, plan.reranker.id)
    explained: Sequence[dict[str, Any]] = ()
    if question.explain:
        retrieved = await _retrieval_rankings(question.mode, query, collection, condition, plan.candidates, hits)
        explained = explain(best, {**retrieved, **ranked.rankings}, ranked.scored)
    return SearchResult(
        hits=best,
        model=query.model,
        reranker=plan.reranker.id if plan.reranker else None,
        took_ms=round((time.perf_counter() - started_s) * 1e3, 3),
        timings_ms=_round_times(query, retrieved_s - retrieving_s, rerank_s),
        explained=explained,
        warnings=[] if hits or not condition else await list_unknown_fields(collection, condition),
    )


def _round_times(query: EncodedQuery, retrieve_s: float, rerank_s: float) -> dict[str, float]:
    """Return the milliseconds of each stage."""
    times_ms = {
        "tokenize": query.timings.tokenize_ms,
        "queue": query.timings.queue_ms,
        "infer": query.timings.infer_ms,
        "retrieve": retrieve_s * 1e3,
        "rerank": rerank_s * 1e3,
    }
    return {stage: round(time_ms, 3) for stage, time_ms in times_ms.items()}


async def _retrieve(
    collection: Collection,
    query: EncodedQuery,
    mode: Mode,
    k: int,
    condition: filters.Condition | None,
    min_score: float | None = None,
) -> Sequence[Hit]:
    """Return the `k` best hits of a mode. Cosines are within their bounds, so that 1.0 finds an equal text."""
    dense, sparse = query.searched_by(mode)
    if mode != "dense":
        return await collection.search(dense, sparse, k, condition, min_score)
    loosened = None if min_score is None else min_score - ROUNDING
    hits = await collection.search(dense, sparse, k, condition, loosened)
    if hits and not ROUNDING - 1 <= hits[-1].score <= hits[0].score <= 1 - ROUNDING:
        hits = [Hit(hit.passage, clip_cosine(hit.score)) for hit in hits]
    return hits if min_score is None else [hit for hit in hits if hit.score >= min_score]


async def _rank(
    registry: ModelRegistry,
    collection: Collection,
    plan: SearchPlan,
    question: Question,
    query: EncodedQuery,
    hits: Sequence[Hit],
) -> _Ranked:
    """Rank the hits as planned: as retrieved, by the reranker that reads their text, or by their stored scores."""
    if not hits or (plan.reranker is None and not plan.weighed):
        return _Ranked(hits)
    if plan.reranker and not plan.weighed:
        scores = await registry.rerank(plan.reranker, question.query, [hit.passage.text for hit in hits])
        ordered = _sort_hits(hits, relevance(plan.reranker, scores.values), question.min_score)
        return _Ranked(ordered, {"rerank": ordered})
    by_kind = await collection.scores([hit.passage for hit in hits], query.dense, query.sparse, query.tokens)
    by_kind = {kind: values if kind == "sparse" else clip_cosines(values) for kind, values in by_kind.items()}
    ordered = _sort_hits(hits, fusion.fuse(by_kind, plan.weights), question.min_score)
    if not question.explain:
        return _Ranked(ordered)
    scored = {kind: _sort_hits(hits, values, None) for kind, values in by_kind.items()}
    rankings = {"late": scored.pop("late"), "rerank": ordered} if plan.stored else {"fused": ordered}
    return _Ranked(ordered, rankings, scored)


def _sort_hits(hits: Sequence[Hit], scores: F32, min_score: float | None) -> list[Hit]:
    """Return the hits with these scores, best first; equal scores keep the order of retrieval."""
    scored = [Hit(hit.passage, score) for hit, score in zip(hits, scores.tolist(), strict=True)]
    scored.sort(key=lambda hit: hit.score, reverse=True)
    return [hit for hit in scored if min_score is None or hit.score >= min_score]


async def _retrieval_rankings(
    mode: Mode,
    query: EncodedQuery,
    collection: Collection,
    condition: filters.Condition | None,
    candidates: int,
    hits: Sequence[Hit],
) -> Rankings:
    """Return the rankings behind `hits`. A hybrid search repeats both retrievals at the depth that was fused."""
    if mode != "hybrid":
        return {mode: hits}
    depth = max(candidates, FUSION_DEPTH)
    return {
        "dense": await _retrieve(collection, query, "dense", depth, condition),
        "sparse": await _retrieve(collection, query, "sparse", depth, condition),
        "fused": hits,
    }
