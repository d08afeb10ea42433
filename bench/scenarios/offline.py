"""Bulk embedding: many texts a request, each as long as a chunk of a document, one request in flight."""

from __future__ import annotations

from bench import measure
from bench.datasets.lengths import CHUNK, Words
from bench.driver.load import Call
from bench.errors import BenchError
from bench.plan import Cell, Options
from bench.records import Row
from bench.session import Bench, Live
from bench.targets import Target

HEADLINE = "Texts and tokens a second when documents are embedded in bulk"
VERIFIED = True
BATCHES = (32, 64, 128)
# One core takes seconds for a request: the window is bounded by time, and ends early where the texts are used up.
MIN_REQUESTS, MIN_SECONDS, MAX_SECONDS = 3, 3.0, 6.0
TEXTS = 16_384


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """One for each number of texts a request."""
    if not target.ingest or "embeddings" not in target.capabilities:
        return []
    return [Cell(block, target, "offline", "embeddings", batch=batch) for batch in BATCHES]


def run(bench: Bench, cell: Cell, live: Live | None) -> list[Row]:
    """
    One window of texts the target has never seen.

    One request in flight keeps the server busy: between two it waits milliseconds, in one it works seconds. Of the
    answers the first is compared with the reference.
    """
    if live is None or cell.batch is None:
        raise BenchError("offline runs against a verified server")
    words = Words(list(bench.reference.squad.passages.values()), bench.seed(cell.block) + cell.batch)
    texts = words.runs(CHUNK, TEXTS)
    asked = [tuple(texts[start : start + cell.batch]) for start in range(0, TEXTS, cell.batch)]
    calls = [Call(cell.route, live.api.dialect.embed_body(batch), len(batch)) for batch in asked]
    load = live.load(
        bench.options,
        live.calls(cell.route, live.texts.take(2)),
        calls,
        concurrency=1,
        min_requests=MIN_REQUESTS,
        min_seconds=MIN_SECONDS,
        max_seconds=MAX_SECONDS,
        keep_every=len(calls),
    )
    # A request of seconds is no stall.
    measured = measure.window(bench, cell, live, load, asked, excused=("E_STALL",))
    row, outcome = measured.row, measured.seen.outcome
    answered = [text for number in outcome.numbers.tolist() for text in asked[number]]
    if answered:
        row.texts_per_s = len(answered) / outcome.wall_s
        row.tokens_per_s = float(bench.reference.encoder.count_tokens(answered).sum()) / outcome.wall_s
    return [row]
