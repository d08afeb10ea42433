"""The rate by the length of the text: a closed loop over texts of one length each."""

from __future__ import annotations

import numpy as np

from bench.datasets.lengths import ClippedNormal
from bench.measurement import window
from bench.measurement.plan import Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import HEADLINE_CONCURRENCY, Row
from bench.scenarios import workloads
from bench.targets import Target

HEADLINE = "Requests per second by the length of the text"
NAME = "lengths"
ROUTE = "embeddings"
TOKENS = (8, 16, 64, 128, 254)  # with special tokens
SPECIAL = 2
CALLS_PER_SECOND = 3000
MIN_REQUESTS, MAX_SECONDS = 130, 10.0  # enough for a p95; long texts take seconds


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return one cell per length, for a target that embeds."""
    if ROUTE not in workloads.plain_routes(target):
        return []
    return [Cell(block, target, NAME, ROUTE, HEADLINE_CONCURRENCY, text_tokens=tokens) for tokens in TOKENS]


def run(bench: Bench, cell: Cell, session: Session) -> list[Row]:
    """Measure one window over distinct texts of the cell's length."""
    assert cell.concurrency is not None and cell.text_tokens is not None  # noqa: S101, PT018  (`cells` sets both)
    profile, length = bench.options.profile, cell.text_tokens - SPECIAL
    count = max(MIN_REQUESTS, int(profile.min_seconds * CALLS_PER_SECOND * TOKENS[0] / cell.text_tokens))
    words = workloads.words_of(bench, session)
    texts = words.cut(ClippedNormal(length, 0.0, length, length), count + 4 * cell.concurrency)
    calls = session.calls(cell.route, texts)
    load = session.load(
        bench.options,
        calls[count:],
        calls[:count],
        concurrency=cell.concurrency,
        min_seconds=profile.min_seconds,
        max_seconds=MAX_SECONDS,
        min_requests=MIN_REQUESTS,
    )
    row = window.measure(bench, cell, session, load, texts[:count], excused=("E_STALL",)).row
    if row.rps is not None:
        row.tokens_per_s = row.rps * float(np.mean(bench.reference.encoder.count_tokens(texts[:count])))
    return [row]
