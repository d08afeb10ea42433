"""
Ingest: unique documents in a closed loop, until the jobs of all of them have completed.

It belongs to no profile. `bench compare --revisions --route ingest` measures it. CPU and rate cover the time until
the last job has completed, because an answer precedes the work. Latencies are those of the answers.
"""

from __future__ import annotations

import hashlib
import time
from dataclasses import replace

from bench.driver.load import Call, Outcome
from bench.errors import AnswerError
from bench.measurement import window
from bench.measurement.plan import Cell, Options
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import Row
from bench.scenarios import open_load
from bench.targets import Target
from bench.verification.agreement import ADDED

HEADLINE = "CPU per request of documents, until they are indexed"
ROUTE = "ingest"
CONCURRENCY = 8
REQUESTS, WARMUP_DOCUMENTS = 300, 320
DOCUMENTS = 16  # per request
QUESTIONS = 12  # joined into one unseen document of a passage's length
JOBS_TIMEOUT_S = 300.0


def cells(target: Target, options: Options, block: int) -> list[Cell]:
    """Return one cell for a target that ingests."""
    return [Cell(block, target, "ingest", ROUTE, CONCURRENCY, DOCUMENTS)] if target.ingest else []


def run(bench: Bench, cell: Cell, session: Session) -> list[Row]:
    """Measure one window. `texts_per_s` is the rate of documents."""
    assert cell.concurrency is not None  # noqa: S101  (`cells` and the comparison of revisions set it)
    # Its job has ended before the window, which then has no work but its own.
    session.api.ingest(_draw_documents(session, WARMUP_DOCUMENTS), lambda processed: None)
    calls = [_build_call(session) for _ in range(REQUESTS)]
    count_before = session.api.document_count()
    load = session.load(
        bench.options,
        [],
        calls,
        concurrency=cell.concurrency,
        min_requests=REQUESTS,
        max_seconds=JOBS_TIMEOUT_S,
        warmup_seconds=0.0,
        keep_every=1,
    )

    def finish(outcome: Outcome) -> Outcome:
        return _wait_for_jobs(session, outcome, load.concurrency)

    measurement = window.measure(bench, cell, session, load, [""] * len(calls), finish=finish)
    row = measurement.row
    row.texts_per_s = DOCUMENTS * measurement.observation.rps
    row.documents = session.api.document_count()
    added = DOCUMENTS * measurement.observation.validated
    if count_before is not None and row.documents != count_before + added:
        open_load.refuse(row, "E_EMPTY", f"{row.documents} documents in the index, {count_before} + {added} expected")
    return [row]


def _build_call(session: Session) -> Call:
    body = session.api.dialect.ingest_body(_draw_documents(session, DOCUMENTS))
    return Call(ROUTE, body, items=0)  # the answer precedes the forward pass


def _draw_documents(session: Session, count: int) -> dict[str, str]:
    """Return unseen documents by id."""
    texts = [" ".join(session.texts.take(QUESTIONS)) for _ in range(count)]
    return {ADDED + hashlib.sha256(text.encode()).hexdigest()[:16]: text for text in texts}


def _wait_for_jobs(session: Session, outcome: Outcome, concurrency: int) -> Outcome:
    """
    Return the outcome with the wall time until its jobs have completed.

    Jobs of a collection run in the order of acceptance, so the answers that came last have the last ones.
    """
    begun_s = time.perf_counter()
    for _, raw in outcome.kept[-2 * concurrency :]:
        path = session.api.dialect.job_path(session.api.dialect.read_job_id(raw))
        while (job := session.api.dialect.read_job(session.api.get(path))).status != "completed":
            waited_s = time.perf_counter() - begun_s
            if job.finished or waited_s > JOBS_TIMEOUT_S:
                raise AnswerError(f"ingest job {job.status} after {waited_s:.0f} s: {job.error or 'no reason given'}")
            time.sleep(0.1)
    return replace(outcome, wall_s=outcome.wall_s + time.perf_counter() - begun_s)
