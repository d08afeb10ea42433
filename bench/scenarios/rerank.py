"""Reranking of the passages nearest to a question, one request in flight."""

from __future__ import annotations

from bench.driver.load import Call
from bench.measurement import window
from bench.measurement.plan import Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import Row
from bench.statistics import FLOORS
from bench.targets import Target

HEADLINE = "p95 and pairs per second by the number of ranked passages"
BATCHES = (20, 100)
# One core takes seconds for 100 passages, so time bounds the window. Its p95 is blank with too few samples.
MAX_SECONDS = 6.0
CHECKED_PASSAGES = 400  # one ranking per 400 ranked passages is compared with the reference
PAIRS = 20_000  # maximum per window


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return one cell per number of passages, for a target with rerank."""
    if not target.ingest or "rerank" not in target.capabilities:
        return []
    return [Cell(block, target, "rerank", "rerank", batch=batch) for batch in BATCHES]


def run(bench: Bench, cell: Cell, session: Session) -> list[Row]:
    """Measure one window of unseen questions, each with the passages that a search would give to a reranker."""
    assert cell.batch is not None  # noqa: S101  (`cells` sets it)
    batch, questions = cell.batch, session.texts.take(PAIRS // cell.batch)
    texts = [(question, *bench.reference.nearest(question, batch)) for question in questions]
    calls = [
        Call(cell.route, session.api.dialect.rerank_body(question, passages), len(passages))
        for question, *passages in texts
    ]
    load = session.load(
        bench.options,
        calls[-1:],
        calls[:-1],
        concurrency=1,
        min_requests=FLOORS[95],
        min_seconds=bench.options.profile.min_seconds,
        max_seconds=MAX_SECONDS,
        keep_every=CHECKED_PASSAGES // batch,
    )
    # E_STALL does not apply, because a request takes seconds.
    measurement = window.measure(bench, cell, session, load, texts, excused=("E_STALL",))
    row = measurement.row
    session.texts.give_back(questions[row.requests or 0 : -1])
    if row.rps is not None:
        row.pairs_per_s = row.rps * len(texts[0][1:])
    return [row]
