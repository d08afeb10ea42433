"""The requests of a route, of a mix of routes, or of a log: calls, their texts, and when they are due."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from bench.datasets import mixes, trace
from bench.datasets.lengths import LogNormal, Words
from bench.datasets.mixes import Kind
from bench.driver import arrivals
from bench.driver.load import F64, Call
from bench.measurement.plan import Options
from bench.measurement.session import Bench, Session
from bench.measurement.window import RequestTexts
from bench.targets import Target
from bench.verification.agreement import ADDED

PLAIN = ("search", "embeddings")
Seed = tuple[int, ...]


@dataclass(frozen=True)
class Requests:
    """Requests in order: calls, texts, and whether the SLO is on each; `judged` is None if it is on all."""

    calls: Sequence[Call]
    texts: Sequence[RequestTexts]
    judged: NDArray[np.bool_] | None = None


def plain_routes(target: Target) -> list[str]:
    """Return the routes of a target that searches or embeds; [] if nothing is ingested."""
    return [route for route in PLAIN if route in target.capabilities] if target.ingest else []


def mix_routes(target: Target, options: Options) -> list[str]:
    """Return the mixes that a target can serve, those of most routes first, and the log of --trace."""
    if not target.ingest:
        return []
    able = set(target.capabilities)
    by_needs = sorted(mixes.load_all(), key=lambda mix: -len(mix.needs))
    routes = [mix.route for mix in by_needs if mix.needs <= able][: options.profile.slo_routes]
    return [*routes, trace.ROUTE] if options.trace is not None and options.trace.needs <= able else routes


def schedule_s(bench: Bench, route: str, rate_rps: float, count: int, seed: Seed) -> F64:
    """Return `count` arrivals at a mean rate: of a Poisson process, or with the scaled gaps of the log."""
    if route == trace.ROUTE and bench.options.trace is not None:
        return bench.options.trace.schedule_s(rate_rps, count)
    return arrivals.poisson(rate_rps, count, seed)


def draw(bench: Bench, session: Session, route: str, count: int, seed: Seed) -> Requests:
    """Return requests with texts that are new to the server."""
    if route in PLAIN:
        taken = session.texts.take(count)
        return Requests(session.calls(route, taken), taken)
    words = words_of(bench, session)
    if route == trace.ROUTE:
        return _replay(bench, session, words, count)
    mix = mixes.find(route)
    drawn = arrivals.kinds(count, mix.shares, (*seed, 1)).tolist()
    texts = _draw_texts(words, mix.kinds, drawn)
    calls = [_build_call(session, mix.kinds[i], own, mix.top_k) for i, own in zip(drawn, texts, strict=True)]
    return Requests(calls, texts, np.array([mix.kinds[i].judged for i in drawn], bool))


def words_of(bench: Bench, session: Session) -> Words:
    """Return the words of questions and passages. Each server has its own, which draws texts that are new to it."""
    corpus = bench.reference.squad
    return _build_words((*corpus.texts, *corpus.passages.values()), session.server.port)


@lru_cache(maxsize=1)
def _build_words(texts: tuple[str, ...], seed: int) -> Words:
    return Words(texts, seed)


def _draw_texts(words: Words, kinds: Sequence[Kind], drawn: Sequence[int]) -> list[tuple[str, ...]]:
    """Return the texts of each request."""
    pools = [iter(words.cut(kind.length, drawn.count(i) * kind.texts)) for i, kind in enumerate(kinds)]
    return [tuple(next(pools[i]) for _ in range(kinds[i].texts)) for i in drawn]


def _build_call(session: Session, kind: Kind, texts: tuple[str, ...], top_k: int) -> Call:
    dialect = session.api.dialect
    if kind.route == "embeddings":
        return Call(kind.route, dialect.embed_body(texts if len(texts) > 1 else texts[0]), len(texts))
    if kind.route == "ingest":
        keys = [ADDED + hashlib.sha256(text.encode()).hexdigest()[:16] for text in texts]
        return Call(kind.route, dialect.ingest_body(dict(zip(keys, texts, strict=True))), items=0)
    return Call(kind.route, dialect.search_body(texts[0], top_k, kind.route))


def _replay(bench: Bench, session: Session, words: Words, count: int) -> Requests:
    """Return the requests of the log from its beginning, again and again; texts that it lacks are drawn."""
    assert bench.options.trace is not None  # noqa: S101  (`mix_routes` gives no route without it)
    entries = bench.options.trace.entries
    texts: list[tuple[str, ...]] = []
    calls: list[Call] = []
    for number in range(count):
        entry = entries[number % len(entries)]
        length = LogNormal(float(entry.tokens or 1), float(entry.tokens or 1))
        texts.append((entry.text or words.cut(length, 1)[0],))
        calls.append(_build_call(session, Kind(entry.route, 1.0, length), texts[-1], top_k=5))
    return Requests(calls, texts, np.array([call.route != "ingest" for call in calls], bool))
