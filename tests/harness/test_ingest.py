"""The scenario of ingest: its window ends when the documents are indexed, and counts the CPU of that work."""

from __future__ import annotations

import pytest

from bench.measurement.session import Bench
from bench.scenarios import ingest
from tests.harness.windows import started, target_of


def test_the_window_covers_the_work_after_the_answers(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every document is in the index when it ends, its CPU is counted, and its rate is below that of the answers."""
    monkeypatch.setattr(ingest, "REQUESTS", 40)
    target = target_of("pseudo", "search")
    [cell] = ingest.cells(target, bench.options, 1)
    with started(bench, target) as session:
        [row] = ingest.run(bench, cell, session)

        assert session.api.document_count() == row.documents
    assert not {"E_ERR", "E_EMPTY", "E_WRONG", "E_NOMODEL"} & set(row.codes.split())
    assert row.validated == 40
    assert row.documents is not None
    assert row.documents >= 16 * 40
    assert row.cpu_ms_per_req is not None
    assert row.duration_s is not None
    assert row.texts_per_s == pytest.approx(16 * 40 / row.duration_s)
    assert row.cpu_ms_per_req * 40 <= 1_000 * row.duration_s * len(bench.place.pinning.server)
