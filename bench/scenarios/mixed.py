"""
Searches alone, then searches at the same moments among reranking and ingesting: how much bulk work moves their p99.

Of a hundred requests 80 search, 15 rerank and 5 ingest a document. They are offered so that their words are half of
what the closed maximum of searches puts through the model: half of its requests would be several times as much work,
and the p99 that of an overload.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench import arrivals, measure, offer
from bench.agreement import ADDED
from bench.driver.load import Call
from bench.measure import Asked, Measured, texts_of
from bench.offer import Offer, Traffic
from bench.plan import MIN_REQUESTS, Cell, Options
from bench.records import Row
from bench.session import Bench, Live
from bench.targets import Target
from bench.validity import kept_up

HEADLINE = "How much reranking and ingesting move the p99 of searches"
VERIFIED = True
SHARES = {"search": 0.80, "rerank": 0.15, "ingest": 0.05}
LOAD = 0.5  # of the closed maximum, in words
ALONE, AMONG = 0, 100  # percent of the traffic that is the mix: the two rows
REQUESTS = round(1.1 * MIN_REQUESTS / SHARES["search"])  # by chance fewer than 80 % may be searches
CANDIDATES = 10  # texts to rerank
QUESTIONS = 12  # joined make a document as long as a passage, and as unseen as they are
MOST_WINDOWS = 3  # in the profile's most seconds: half a load, of which only some are searches, takes long for a p99
INGEST_TIMEOUT_S = 60.0


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """One cell, of two rows, for targets that search and rerank."""
    able = target.ingest and {"search", "rerank"} <= set(target.capabilities)
    return [Cell(block, target, "mixed", "search", percent=AMONG)] if able else []


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """Two windows; the percentiles of both rows are those of the searches."""
    live, known = offer.verified(cell, live), Offer.of(bench, cell)
    if known is None:
        return [offer.nothing_known(bench, cell)]
    traffic = _traffic(bench, cell, live, known)
    routes = np.array([call.route for call in traffic.calls])
    searches = routes == "search"
    alone = offer.searches(bench, replace(cell, percent=ALONE), live, known, traffic.schedule_s[searches])
    held = live.api.document_count()
    among = offer.window(bench, cell, live, known, traffic)
    _of_searches(among, searches, known)
    _judge(among.row, held, int((routes == "ingest").sum()), live)
    if among.row.p99_ms is not None and alone.row.p99_ms is not None:
        among.row.p99_change = among.row.p99_ms / alone.row.p99_ms
    return [alone.row, among.row]


def weight(routes: NDArray[np.str_], asked: Sequence[Asked]) -> float:
    """The words of the mean request of a mix, in those of its mean search."""
    words = np.array([sum(len(text.split()) for text in texts_of(one)) for one in asked])
    return float(words.mean() / words[routes == "search"].mean())


def _traffic(bench: Bench, cell: Cell, live: Live, known: Offer) -> Traffic:
    seed = offer.seed(bench, cell)
    drawn = arrivals.kinds(REQUESTS, tuple(SHARES.values()), (*seed, 1))  # not the numbers that the gaps are made of
    routes = np.array(list(SHARES))[drawn]
    asked = [_asked(live, route) for route in routes.tolist()]
    rate_rps = LOAD * known.capacity_rps / weight(routes, asked)
    most = int(rate_rps * MOST_WINDOWS * bench.options.profile.max_seconds)
    count = max(1, min(len(asked), most))
    calls = [_call(live, route, texts_of(one)) for route, one in zip(routes.tolist(), asked, strict=True)]
    return Traffic(arrivals.poisson(rate_rps, count, seed), calls[:count], asked[:count])


def _asked(live: Live, route: str) -> Asked:
    """Unseen texts for one request: a query; a query and what to rank by it; a document."""
    if route == "rerank":
        return tuple(live.texts.take(1 + CANDIDATES))
    return " ".join(live.texts.take(QUESTIONS if route == "ingest" else 1))


def _call(live: Live, route: str, texts: tuple[str, ...]) -> Call:
    dialect = live.api.dialect
    if route == "rerank":
        return Call(route, dialect.rerank_body(texts[0], texts[1:]), CANDIDATES)
    if route == "ingest":
        key = ADDED + hashlib.sha256(texts[0].encode()).hexdigest()[:16]
        return Call(route, dialect.ingest_body({key: texts[0]}), items=0)  # the job is only promised: no pass yet
    return live.calls(route, texts)[0]


def _of_searches(among: Measured, searches: NDArray[np.bool_], known: Offer) -> None:
    """Fill the latency columns, and what is promised, from the searches only."""
    outcome = among.seen.outcome
    one = searches[outcome.numbers]
    measure.latencies(among.row, outcome.latency_ns[one], outcome.service_ns[one])
    known.complete(among.row, outcome.latency_ns[one], outcome.wall_s)


def _judge(row: Row, held: int | None, ingested: int, live: Live) -> None:
    """Refuse a mix that was an overload, and one whose documents did not arrive; waits for these to do so."""
    if not kept_up(row.rps or 0.0, row.offered_rps or 0.0, row.duration_s or 0.0, row.p50_ms or 0.0):
        offer.refuse(row, "E_RATE", "the mix is more than the target can do: its p99 is that of a queue")
    if held is None:
        return
    row.documents = _documents(live, held + ingested)
    if row.documents != held + ingested:
        offer.refuse(row, "E_EMPTY", f"{row.documents} documents in the index, {held + ingested} were ingested")


def _documents(live: Live, wanted: int) -> int | None:
    """The documents in the index once there are as many as wanted, or once that takes too long."""
    deadline = time.monotonic() + INGEST_TIMEOUT_S
    while (count := live.api.document_count()) != wanted and time.monotonic() < deadline:
        time.sleep(0.1)
    return count
