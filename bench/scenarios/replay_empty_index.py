"""
The published study as it was published: 2,000 times one query, 16 in flight, and no document ever ingested.

Its gateways answered an empty index before embedding anything, so its numbers measured HTTP and its client. Here the
same run is made, and refused: E_EMPTY and E_NOMODEL. A target that is itself the study as published runs as it is;
every other that has a model runs behind `bench.early_return`, and gives the same number whatever its own speed is.
"""

from __future__ import annotations

from bench import early_return, measure
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
    """One cell for every target that searches, has a model that could run, and was started here."""
    wanted = "search" in target.capabilities and target.precision != "pseudo" and target.roles
    return [Cell(block, target, "replay_empty_index", "search", CONCURRENCY)] if wanted else []


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """One window of the same query over an index without a document."""
    text = bench.reference.squad.texts[0]
    target = early_return.before(cell.target) if cell.target.ingest else cell.target
    with bench.start(target, "replay") as running, Api(running) as api:
        running.wait_ready()
        live = Live.of(running, api, TextStream((text,), bench.seed(cell.block)))
        [body] = live.calls(cell.route, [text])
        load = live.load(
            bench.options, [body] * 2 * CONCURRENCY, [body] * REQUESTS, concurrency=CONCURRENCY, min_requests=REQUESTS
        )
        row = measure.window(bench, cell, live, load, [text] * REQUESTS).row
        row.documents = api.document_count()
    return [row]
