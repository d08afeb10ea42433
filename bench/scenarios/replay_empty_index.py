"""
A replay of the published study: one query 2,000 times, 16 in flight, on an index without documents.

The study's gateways answered searches of an empty index before embedding, so its numbers measured HTTP and client.
The same run is refused here with E_EMPTY and E_NOMODEL. The target `study-as-published` runs unchanged. Every other
target with a model runs behind `bench.targets.early_return` and reaches the same rate, whatever its own speed.
"""

from __future__ import annotations

from bench.datasets.unseen_texts import TextStream
from bench.measurement import window
from bench.measurement.plan import Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import Row
from bench.targets import Target, early_return
from bench.targets.api_client import Api

HEADLINE = "The published study's run on its empty index"
REQUESTS = 2000
CONCURRENCY = 16


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return one cell for a target with search and a model that the harness starts."""
    applies = "search" in target.capabilities and target.precision != "pseudo" and target.roles
    return [Cell(block, target, "replay_empty_index", "search", CONCURRENCY)] if applies else []


def run_alone(bench: Bench, cell: Cell) -> list[Row]:
    """Measure one window of the same query on an index without documents."""
    text = bench.reference.squad.texts[0]
    target = early_return.before(cell.target) if cell.target.ingest else cell.target
    with bench.start(target, "replay") as server, Api(server) as api:
        server.wait_ready()
        session = Session.open(server, api, TextStream((text,), bench.seed(cell.block)))
        [body] = session.calls(cell.route, [text])
        load = session.load(
            bench.options, [body] * 2 * CONCURRENCY, [body] * REQUESTS, concurrency=CONCURRENCY, min_requests=REQUESTS
        )
        row = window.measure(bench, cell, session, load, [text] * REQUESTS).row
        row.documents = api.document_count()
    return [row]
