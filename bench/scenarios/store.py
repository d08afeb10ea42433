"""A large index: the latency of search beyond its embedding with 100,000 documents, without a model."""

from __future__ import annotations

from dataclasses import replace

from bench.datasets.lengths import ClippedNormal, Words
from bench.datasets.unseen_texts import TextStream
from bench.measurement import window
from bench.measurement.plan import BODIES_PER_SECOND, MIN_REQUESTS, Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import Row
from bench.targets import Target
from bench.targets.api_client import Api

HEADLINE = "p50 of searches over 100,000 documents, and of embedding alone"
DOCUMENTS, JOB_SIZE = 100_000, 5_000
SHORT_TEXTS = ClippedNormal(mean=40, std_dev=12, min_tokens=12, max_tokens=80)
# The pseudo model's hash vectors fill such an index in minutes, and it is searched like any other. Token vectors are
# read after the search, for its candidates only, so they are not stored.
ENVIRONMENT = {"LATE_INTERACTION": "false"}


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return one cell, of two rows, for the pseudo target."""
    return [Cell(block, target, "store", "search", 1)] if target.precision == "pseudo" and target.ingest else []


def run_alone(bench: Bench, cell: Cell) -> list[Row]:
    """Ingest, then measure a window of searches and one of embeddings, with one request in flight."""
    roles = tuple(replace(role, environ=role.environ | ENVIRONMENT) for role in cell.target.roles)
    words = Words(list(bench.reference.squad.passages.values()), bench.seed(cell.block))
    documents = words.cut(SHORT_TEXTS, DOCUMENTS)
    with bench.start(replace(cell.target, roles=roles), "store") as server, Api(server) as api:
        server.wait_ready()
        for start in range(0, DOCUMENTS, JOB_SIZE):
            bench.show.step("ingesting", start, DOCUMENTS)
            batch = documents[start : start + JOB_SIZE]
            api.ingest({f"store-{start + i}": text for i, text in enumerate(batch)}, lambda _: None)
        texts = TextStream(bench.reference.squad.texts, bench.seed(cell.block))
        session = Session.open(server, api, texts)
        rows = [_measure_window(bench, replace(cell, route=route), session) for route in ("search", "embeddings")]
        for row in rows:
            row.documents = api.document_count()
    return rows


def _measure_window(bench: Bench, cell: Cell, session: Session) -> Row:
    profile = bench.options.profile
    timed = session.texts.take(max(MIN_REQUESTS, int(profile.min_seconds * BODIES_PER_SECOND) // 4))
    load = session.load(
        bench.options,
        session.calls(cell.route, timed[:50]),
        session.calls(cell.route, timed[50:]),
        concurrency=1,
        min_seconds=profile.min_seconds,
        min_requests=MIN_REQUESTS // 2,
    )
    measurement = window.measure(bench, cell, session, load, timed[50:])
    session.texts.give_back(timed[50 + (measurement.row.requests or 0) :])
    return measurement.row
