"""
Mixed traffic: the p99 of searches alone, then of the same searches among reranking and ingestion.

The mix is 80 % searches, 15 % reranks and 5 % ingests of one document. The rate is set by words: the mix sends half
the words per second of the closed-loop maximum of searches. Half the requests per second would be an overload,
because reranks and documents are longer.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bench.driver import arrivals
from bench.driver.load import Call
from bench.measurement import observation
from bench.measurement.plan import MIN_REQUESTS, Cell, Options
from bench.measurement.session import Bench, Session
from bench.measurement.window import Measurement, RequestTexts, texts_of
from bench.records.refusal_codes import kept_up
from bench.records.runs_csv import Row
from bench.scenarios import open_load
from bench.scenarios.open_load import Capacity, Traffic
from bench.targets import Target
from bench.verification.agreement import ADDED

HEADLINE = "Change of the p99 of searches while documents are reranked and ingested"
SHARES = {"search": 0.80, "rerank": 0.15, "ingest": 0.05}
LOAD = 0.5  # share of the closed-loop maximum, in words
ALONE, AMONG = 0, 100  # `percent` of the two rows
REQUESTS = round(1.1 * MIN_REQUESTS / SHARES["search"])  # 10 % more, because the share of searches is random
CANDIDATES = 10  # texts per rerank
QUESTIONS = 12  # questions joined into one unseen document of a passage's length
MAX_WINDOWS = 3  # limit in units of the profile's `max_seconds`: at half load, enough searches for a p99 take long
INGEST_TIMEOUT_S = 60.0


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return one cell, of two rows, for a target with search and rerank."""
    applies = target.ingest and {"search", "rerank"} <= set(target.capabilities)
    return [Cell(block, target, "mixed", "search", percent=AMONG)] if applies else []


def run(bench: Bench, cell: Cell, session: Session) -> list[Row]:
    """Measure two windows. The percentiles of both rows cover the searches only."""
    capacity = Capacity.look_up(bench, cell)
    if capacity is None:
        return [open_load.missing_capacity_row(bench, cell)]
    traffic = _plan_traffic(bench, cell, session, capacity)
    routes = np.array([call.route for call in traffic.calls])
    searches = routes == "search"
    alone = open_load.measure_route(
        bench, replace(cell, percent=ALONE), session, capacity, traffic.schedule_s[searches]
    )
    count_before = session.api.document_count()
    among = open_load.measure_traffic(bench, cell, session, capacity, traffic)
    _keep_searches(among, searches, capacity)
    _judge(among.row, count_before, int((routes == "ingest").sum()), session)
    if among.row.p99_ms is not None and alone.row.p99_ms is not None:
        among.row.p99_change = among.row.p99_ms / alone.row.p99_ms
    return [alone.row, among.row]


def relative_weight(routes: NDArray[np.str_], texts: Sequence[RequestTexts]) -> float:
    """Return the mean words per request of a mix, relative to the mean words per search."""
    words = np.array([sum(len(text.split()) for text in texts_of(request)) for request in texts])
    return float(words.mean() / words[routes == "search"].mean())


def _plan_traffic(bench: Bench, cell: Cell, session: Session, capacity: Capacity) -> Traffic:
    seed = open_load.arrival_seed(bench, cell)
    drawn = arrivals.kinds(REQUESTS, tuple(SHARES.values()), (*seed, 1))  # must differ from the seed of the gaps
    routes = np.array(list(SHARES))[drawn]
    texts = [_take_texts(session, route) for route in routes.tolist()]
    rate_rps = LOAD * capacity.max_rps / relative_weight(routes, texts)
    limit = int(rate_rps * MAX_WINDOWS * bench.options.profile.max_seconds)
    count = max(1, min(len(texts), limit))
    calls = [
        _build_call(session, route, texts_of(request)) for route, request in zip(routes.tolist(), texts, strict=True)
    ]
    return Traffic(arrivals.poisson(rate_rps, count, seed), calls[:count], texts[:count])


def _take_texts(session: Session, route: str) -> RequestTexts:
    """Return unseen texts for one request: a query, or a query and candidates, or a document."""
    if route == "rerank":
        return tuple(session.texts.take(1 + CANDIDATES))
    return " ".join(session.texts.take(QUESTIONS if route == "ingest" else 1))


def _build_call(session: Session, route: str, texts: tuple[str, ...]) -> Call:
    dialect = session.api.dialect
    if route == "rerank":
        return Call(route, dialect.rerank_body(texts[0], texts[1:]), CANDIDATES)
    if route == "ingest":
        key = ADDED + hashlib.sha256(texts[0].encode()).hexdigest()[:16]
        return Call(route, dialect.ingest_body({key: texts[0]}), items=0)  # the answer precedes the forward pass
    return session.calls(route, texts)[0]


def _keep_searches(among: Measurement, searches: NDArray[np.bool_], capacity: Capacity) -> None:
    """Refill the latency and goodput columns from the searches only."""
    outcome = among.observation.outcome
    selected = searches[outcome.numbers]
    observation.fill_latencies(among.row, outcome.latency_ns[selected], outcome.service_ns[selected])
    capacity.fill_goodput(among.row, outcome.latency_ns[selected], outcome.wall_s)


def _judge(row: Row, count_before: int | None, ingested: int, session: Session) -> None:
    """Refuse a mix that was an overload, or whose documents did not reach the index; wait for the ingestion."""
    if not kept_up(row.rps or 0.0, row.offered_rps or 0.0, row.duration_s or 0.0, row.p50_ms or 0.0):
        open_load.refuse(row, "E_RATE", "the mix overloads the target, so its p99 is that of a queue")
    if count_before is None:
        return
    expected = count_before + ingested
    row.documents = _await_documents(session, expected)
    if row.documents != expected:
        open_load.refuse(row, "E_EMPTY", f"{row.documents} documents in the index, {expected} were ingested")


def _await_documents(session: Session, expected: int) -> int | None:
    """Return the number of documents in the index when it is `expected`, or after INGEST_TIMEOUT_S."""
    deadline = time.monotonic() + INGEST_TIMEOUT_S
    while (count := session.api.document_count()) != expected and time.monotonic() < deadline:
        time.sleep(0.1)
    return count
