"""Reranking: a question and the passages nearest to it, one request in flight."""

from __future__ import annotations

from bench import measure
from bench.driver.load import Call
from bench.errors import BenchError
from bench.plan import Cell, Options
from bench.records import Row
from bench.session import Bench, Live
from bench.statistics import FLOORS
from bench.targets import Target

HEADLINE = "p95 and pairs a second when so many passages are ranked"
VERIFIED = True
BATCHES = (20, 50, 100)
# One core takes seconds for 100 passages: the window is bounded, and its p95 left blank where it has too few samples.
MAX_SECONDS = 6.0
CHECKED_PASSAGES = 400  # one ranking is compared with the reference for so many ranked
PAIRS = 20_000  # at most, in one window


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """One for each number of passages, where the target reranks."""
    if not target.ingest or "rerank" not in target.capabilities:
        return []
    return [Cell(block, target, "rerank", "rerank", batch=batch) for batch in BATCHES]


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """One window of questions the target has never seen, each with what a search would hand to a reranker."""
    if live is None or cell.batch is None:
        raise BenchError("rerank runs against a verified server")
    batch, questions = cell.batch, live.texts.take(PAIRS // cell.batch)
    asked = [(question, *bench.reference.nearest(question, batch)) for question in questions]
    calls = [
        Call(cell.route, live.api.dialect.rerank_body(question, passages), len(passages))
        for question, *passages in asked
    ]
    load = live.load(
        bench.options,
        calls[-1:],
        calls[:-1],
        concurrency=1,
        min_requests=FLOORS[95],
        min_seconds=bench.options.profile.min_seconds,
        max_seconds=MAX_SECONDS,
        keep_every=CHECKED_PASSAGES // batch,
    )
    # A request of seconds is no stall.
    measured = measure.window(bench, cell, live, load, asked, excused=("E_STALL",))
    row = measured.row
    live.texts.give_back(questions[row.requests or 0 : -1])
    if row.rps is not None:
        row.pairs_per_s = row.rps * len(asked[0][1:])
    return [row]
