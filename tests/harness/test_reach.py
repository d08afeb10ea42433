"""The scenarios that say how far a gateway is from what its runtime, its cores and a memory would allow."""

from __future__ import annotations

import pytest

from bench.scenarios import bare, cache, store, threads
from bench.session import Bench
from tests.harness.windows import started, target_of

INT8 = target_of("onnx_py-int8")


def test_serving_is_held_to_the_runtime_alone(bench: Bench) -> None:
    """At the batch sizes that were formed; what is served is some of it, and cannot be much more."""
    [cell] = bare.cells(INT8, bench.options, 1)

    with started(bench, INT8) as live:
        [row] = bare.run(bench, cell, live)

    assert row.texts_per_pass is not None
    assert row.bare_texts_per_s is not None
    assert row.of_bare is not None
    assert 1 <= row.texts_per_pass <= bare.CONCURRENCY
    assert row.bare_texts_per_s > 0
    assert 0 < row.of_bare < 1.5
    assert not bare.cells(target_of("pseudo"), bench.options, 1)


def test_more_cores_serve_more_threads(bench: Bench) -> None:
    """The same load on one core, and on all that there are: each server has its own."""
    everywhere = {*bench.place.pinning.server, *bench.place.pinning.driver}
    if len(everywhere) < 2:
        pytest.skip("one core")
    [cell] = threads.cells(INT8, bench.options, 1)

    rows = threads.run(bench, cell, None)

    assert [row.concurrency for row in rows] == [1, len(everywhere)]
    assert all(row.texts_per_s and "E_PIN" not in row.codes for row in rows)
    used = [row.server_cores or 0.0 for row in rows]
    assert used[0] <= 1.1 < used[1]


def test_a_text_that_is_remembered_costs_no_pass(bench: Bench) -> None:
    """One in flight, each asked before: the counter does not move, and that is here no fault."""
    cell = next(cell for cell in cache.cells(INT8, bench.options, 1) if cell.percent == cache.EVERY)

    [row] = cache.run(bench, cell, None)

    assert row.forwards == 0
    assert not {"E_CACHE", "E_NOMODEL", "E_WRONG"} & set(row.codes.split())
    assert row.validated


def test_a_large_index_is_searched_by_the_floor(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both windows of a smaller one: searches, and what of them is embedding."""
    monkeypatch.setattr(store, "DOCUMENTS", 2_000)
    monkeypatch.setattr(store, "A_JOB", 1_000)
    pseudo = target_of("pseudo", "search", "embeddings")
    [cell] = store.cells(pseudo, bench.options, 1)

    rows = store.run(bench, cell, None)

    assert [row.route for row in rows] == ["search", "embeddings"]
    assert all(row.documents == 2_000 and row.validated for row in rows)
    assert not {"E_ERR", "E_EMPTY", "E_WRONG"} & {code for row in rows for code in row.codes.split()}
