"""Bulk embedding: many texts per request, each as long as a chunk of a document, one request in flight."""

from __future__ import annotations

from bench.datasets.lengths import CHUNK, Words
from bench.driver.load import Call
from bench.measurement import window
from bench.measurement.plan import Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import Row
from bench.targets import Target

HEADLINE = "Texts and tokens per second of bulk embedding"
BATCHES = (32, 128)
# One core takes seconds per request, so time bounds the window. It ends early if the texts are used up.
MIN_REQUESTS, MIN_SECONDS, MAX_SECONDS = 3, 3.0, 6.0
TEXTS = 16_384


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return one cell per batch size."""
    if not target.ingest or "embeddings" not in target.capabilities:
        return []
    return [Cell(block, target, "offline", "embeddings", batch=batch) for batch in BATCHES]


def run(bench: Bench, cell: Cell, session: Session) -> list[Row]:
    """
    Measure one window over texts that the target has never seen.

    One request in flight keeps the server busy: it works for seconds and waits for milliseconds. The first answer is
    compared with the reference.
    """
    assert cell.batch is not None  # noqa: S101  (`cells` sets it)
    words = Words(list(bench.reference.squad.passages.values()), bench.seed(cell.block) + cell.batch)
    texts = words.cut(CHUNK, TEXTS)
    batches = [tuple(texts[start : start + cell.batch]) for start in range(0, TEXTS, cell.batch)]
    calls = [Call(cell.route, session.api.dialect.embed_body(batch), len(batch)) for batch in batches]
    load = session.load(
        bench.options,
        session.calls(cell.route, session.texts.take(2)),
        calls,
        concurrency=1,
        min_requests=MIN_REQUESTS,
        min_seconds=MIN_SECONDS,
        max_seconds=MAX_SECONDS,
        keep_every=len(calls),
    )
    # E_STALL does not apply, because a request takes seconds.
    measurement = window.measure(bench, cell, session, load, batches, excused=("E_STALL",))
    row, outcome = measurement.row, measurement.observation.outcome
    answered = [text for number in outcome.numbers.tolist() for text in batches[number]]
    if answered:
        row.texts_per_s = len(answered) / outcome.wall_s
        row.tokens_per_s = float(bench.reference.encoder.count_tokens(answered).sum()) / outcome.wall_s
    return [row]
