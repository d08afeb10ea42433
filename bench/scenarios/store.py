"""A large index: what a search takes besides its embedding when there are 100,000 documents; no model is run."""

from __future__ import annotations

from dataclasses import replace

from bench import measure
from bench.api import Api
from bench.datasets.lengths import ClippedNormal, Words
from bench.datasets.stream import TextStream
from bench.plan import BODIES_PER_SECOND, MIN_REQUESTS, Cell, Options
from bench.records import Row
from bench.session import Bench, Live
from bench.targets import Target

HEADLINE = "p50 of searches over 100,000 documents, and of embedding alone"
VERIFIED = False
DOCUMENTS, A_JOB = 100_000, 5_000
SHORT = ClippedNormal(mean=40, deviation=12, least=12, most=80)
# Vectors by the floor's hashes: an index of so many documents is made in minutes, and searched like any other. The
# vectors of tokens are read after a search, of its candidates only.
ENVIRONMENT = {"LATE_INTERACTION": "false"}


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """One cell, of two rows, of the floor."""
    return [Cell(block, target, "store", "search", 1)] if target.precision == "pseudo" and target.ingest else []


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """Ingest, then one window of searches and one of embeddings, one request in flight."""
    roles = tuple(replace(role, environ=role.environ | ENVIRONMENT) for role in cell.target.roles)
    words = Words(list(bench.reference.squad.passages.values()), bench.seed(cell.block))
    documents = words.runs(SHORT, DOCUMENTS)
    with bench.start(replace(cell.target, roles=roles), "store") as running, Api(running) as api:
        running.wait_ready()
        for start in range(0, DOCUMENTS, A_JOB):
            bench.show.step("ingesting", start, DOCUMENTS)
            some = documents[start : start + A_JOB]
            api.ingest({f"store-{start + at}": text for at, text in enumerate(some)}, lambda _: None)
        texts = TextStream(bench.reference.squad.texts, bench.seed(cell.block))
        served = Live.of(running, api, texts)
        rows = [_window(bench, replace(cell, route=route), served) for route in ("search", "embeddings")]
        for row in rows:
            row.documents = api.document_count()
    return rows


def _window(bench: Bench, cell: Cell, live: Live) -> Row:
    profile = bench.options.profile
    timed = live.texts.take(max(MIN_REQUESTS, int(profile.min_seconds * BODIES_PER_SECOND) // 4))
    load = live.load(
        bench.options,
        live.calls(cell.route, timed[:50]),
        live.calls(cell.route, timed[50:]),
        concurrency=1,
        min_seconds=profile.min_seconds,
        min_requests=MIN_REQUESTS // 2,
    )
    measured = measure.window(bench, cell, live, load, timed[50:])
    live.texts.give_back(timed[50 + (measured.row.requests or 0) :])
    return measured.row
