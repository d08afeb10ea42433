"""
The published study as it was published: 2,000 times one query, 16 in flight, and no document ever ingested.

Its gateways answered an empty index before embedding anything, so its numbers measured HTTP and its client. Here the
same run is made, and refused: E_EMPTY and E_NOMODEL.
"""

from __future__ import annotations

from bench import measure
from bench.api import Api
from bench.datasets.stream import TextStream
from bench.plan import Cell, Options
from bench.records import Row
from bench.session import Bench, Live
from bench.targets import Target

HEADLINE = "The published study's own run, with its empty index"
VERIFIED = False
REQUESTS = 2000
CONCURRENCY = 16


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """One cell, for targets that are never ingested into."""
    return [] if target.ingest else [Cell(block, target, "replay_empty_index", "search", CONCURRENCY)]


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """One window of the same query over an index without a document."""
    text = bench.reference.squad.texts[0]
    with bench.start(cell.target, "replay") as running, Api(running) as api:
        running.wait_ready()
        live = Live.of(running, api, TextStream((text,), bench.seed(cell.block)))
        [body] = live.calls(cell.route, [text])
        load = live.load(
            bench.options, [body] * 2 * CONCURRENCY, [body] * REQUESTS, concurrency=CONCURRENCY, min_requests=REQUESTS
        )
        row = measure.window(bench, cell, live, load, [text] * REQUESTS).row
        row.documents = api.document_count()
    return [row]
