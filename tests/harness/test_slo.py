"""The search for the rate held, and a mix of requests, against a real gateway without a model."""

from __future__ import annotations

from dataclasses import replace

import pytest

from bench.measurement.plan import Cell
from bench.measurement.session import Bench
from bench.records.runs_csv import Row, read
from bench.scenarios import closed, mix, slo
from tests.harness.windows import started, target_of

PSEUDO = target_of("pseudo")

pytestmark = pytest.mark.slow("tens of seconds of load; the parts have unit tests")


def short(bench: Bench) -> Bench:
    """Return the campaign with windows of a second."""
    profile = replace(bench.options.profile, slo_seconds=1.0, slo_max_seconds=1.5, tries=1)
    return replace(bench, options=replace(bench.options, profile=profile))


def windows(bench: Bench) -> list[dict[str, str]]:
    """Return the rows of the search."""
    return [row for row in read(bench.runs.file) if row["scenario"] == "slo"]


def test_the_search_ends_and_goes_on_from_its_rows(fresh: Bench) -> None:
    """Every window is a row with a verdict; a second run finds the search finished."""
    bench, cell = short(fresh), Cell(1, PSEUDO, "slo", "embeddings")
    with started(bench, PSEUDO) as session:
        bench.runs.add(_sound(closed.run(bench, Cell(1, PSEUDO, "closed", "embeddings", 16), session)))
        assert slo.run(bench, cell, session) == []
        rows = windows(bench)
        slo.run(bench, cell, session)

    assert len(windows(bench)) == len(rows) >= 2
    assert slo.finished(read(bench.runs.file), cell, bench.options)
    assert {row["held"] for row in rows} <= {"true", "false"}
    assert all(row["slo_ms"] == "150" and float(row["offered_rps"]) > 0 and row["load_percent"] for row in rows)


def test_a_mix_is_answered(fresh: Bench) -> None:
    """Embeddings of questions, passages and batches are all validated, in a closed loop and in the search."""
    bench, cell = short(fresh), Cell(1, PSEUDO, "mix", "mix-embed", 16)
    with started(bench, PSEUDO) as session:
        [row] = mix.run(bench, cell, session)
        bench.runs.add(_sound([row]))
        slo.run(bench, Cell(1, PSEUDO, "slo", "mix-embed"), session)

    assert row.errors == 0
    assert (row.validated or 0) > 100
    assert all(window["errors"] == "0" and window["slo_ms"] == "1000" for window in windows(bench))


def _sound(rows: list[Row]) -> list[Row]:
    """Return the rows without the codes of a busy machine, which would void the maximum that the search needs."""
    for row in rows:
        row.codes = ""
    return rows
