"""The scenarios that compare a gateway with the limits of its runtime, its cores and a cache."""

from __future__ import annotations

import pytest

from bench.measurement.session import Bench
from bench.scenarios import bare, cache, cores, store
from tests.harness.windows import started, target_of

INT8 = target_of("onnx_py-int8")


pytestmark = pytest.mark.slow("a campaign of its own: tests/harness/test_campaign.py keeps one that is not slow")


def test_serving_is_held_to_the_runtime_alone(bench: Bench) -> None:
    """The served rate is a share of the runtime's rate at the same batch size, and cannot be much more."""
    [cell] = bare.cells(INT8, bench.options, 1)

    with started(bench, INT8) as session:
        [row] = bare.run(bench, cell, session)

    assert row.texts_per_pass is not None
    assert row.bare_texts_per_s is not None
    assert row.of_bare is not None
    assert 1 <= row.texts_per_pass <= bare.CONCURRENCY
    assert row.bare_texts_per_s > 0
    assert 0 < row.of_bare < 1.5
    assert not bare.cells(target_of("pseudo"), bench.options, 1)


def test_a_ladder_of_threads_and_of_processes(bench: Bench) -> None:
    """The bulk load runs on one core and on all, questions on the server's cores; each rung keeps to its cores."""
    everywhere = {*bench.place.pinning.server, *bench.place.pinning.driver}
    if len(everywhere) < 2:
        pytest.skip("one core")
    rows = [row for cell in cores.cells(INT8, bench.options, 1) for row in cores.run_alone(bench, cell)]

    bulk = {(row.arrangement, row.cores): row for row in rows if row.batch}
    assert {("threads", 1), ("threads", len(everywhere)), ("processes", len(everywhere))} <= bulk.keys()
    assert any(not row.batch and row.cores == len(bench.place.pinning.server) for row in rows)
    assert all(
        row.texts_per_s and not {"E_PIN", "E_CORES", "E_WRONG", "E_ERR"} & set(row.codes.split()) for row in rows
    )
    assert (bulk["threads", 1].server_cores or 0.0) <= 1.1


def test_a_gateway_on_one_core_and_embed_services_on_the_others(bench: Bench) -> None:
    """Each role stays on the core that it has to itself."""
    everywhere = {*bench.place.pinning.server, *bench.place.pinning.driver}
    if len(everywhere) < 2:
        pytest.skip("one core")
    [cell] = cores.cells(target_of("split"), bench.options, 1)

    rows = [row for row in cores.run_alone(bench, cell) if row.batch]

    assert [row.cores for row in rows] == cores.counts(len(everywhere), 2)
    assert all(row.texts_per_s and not {"E_CORES", "E_WRONG"} & set(row.codes.split()) for row in rows)


def test_a_text_that_is_remembered_costs_no_pass(bench: Bench) -> None:
    """A cached text leaves the forward counter unchanged, and that is no fault in this scenario."""
    cell = next(cell for cell in cache.cells(INT8, bench.options, 1) if cell.percent == cache.EVERY)

    [row] = cache.run_alone(bench, cell)

    assert row.forwards == 0
    assert not {"E_CACHE", "E_NOMODEL", "E_WRONG"} & set(row.codes.split())
    assert row.validated


def test_a_large_index_is_searched_by_the_floor(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """A smaller index than usual gives both rows: of searches, and of embeddings."""
    monkeypatch.setattr(store, "DOCUMENTS", 2_000)
    monkeypatch.setattr(store, "JOB_SIZE", 1_000)
    pseudo = target_of("pseudo", "search", "embeddings")
    [cell] = store.cells(pseudo, bench.options, 1)

    rows = store.run_alone(bench, cell)

    assert [row.route for row in rows] == ["search", "embeddings"]
    assert all(row.documents == 2_000 and row.validated for row in rows)
    assert not {"E_ERR", "E_EMPTY", "E_WRONG"} & {code for row in rows for code in row.codes.split()}
