"""The figures that decide between shapes, and whether the next best can be told apart."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench import paths
from bench.analysis import summary
from bench.analysis.decisions import Decision, decide, told_apart
from bench.report.tables import decision
from tests.support import every_scenario

PUBLISHED = paths.CAMPAIGNS / "amd-epyc-avx512vnni-2c" / "2026-11-22T2249-full"
FIRST = Decision("a", "search", "fp32", False, 2, rps=300.0, low=280.0, windows=12)


def test_targets_are_told_apart_by_the_lower_bound_and_the_noise() -> None:
    """A rate within the A/A band of the lower bound is not told apart, and neither is one without a bound."""
    assert told_apart(FIRST, replace(FIRST, target="b", rps=200.0), 0.2)
    assert not told_apart(FIRST, replace(FIRST, target="b", rps=250.0), 0.2)
    assert not told_apart(replace(FIRST, low=0.0), replace(FIRST, rps=100.0), 0.05)
    assert not told_apart(FIRST, replace(FIRST, rps=None), 0.05)


def test_a_million_requests_cost_the_cores_for_their_time() -> None:
    """2 cores at 300 a second take 2e6 / 300 seconds of a core."""
    assert FIRST.core_hours_million == pytest.approx(2e6 / 300 / 3600)
    assert replace(FIRST, rps=None).core_hours_million is None


def test_the_table_has_every_target_the_best_first(tmp_path: Path) -> None:
    """Targets with a rate held come first; bounds are rates, and the floor without a model is left out."""
    read = summary.load(every_scenario.write(tmp_path / "campaign", blocks=3))
    [table] = decision.tables(read)

    names = [row[0] for row in table.rows]
    decisions = {each.target: each for each in decide(read, "search")}

    assert names[0] == "onnx_py-int8"
    assert "pseudo" not in names
    assert "study" in names
    assert all(
        each.low <= each.rps <= each.high for each in decisions.values() if each.high and each.low and each.rps
    )
    assert "choose by memory and topology" in decision.recommend_by([table])


def test_the_fp32_shapes_of_a_committed_campaign_are_not_told_apart() -> None:
    """In F onnx_py, split and python differ by less than a server from its own twin; int8 differs from all."""
    [table] = decision.tables(summary.load(PUBLISHED))

    apart = {row[0]: row[-1] for row in table.rows}

    assert apart["onnx_py-int8"] == "yes"
    assert apart["onnx_py"].startswith("no")
    assert apart["split"].startswith("no")
    assert [row[2] for row in table.rows if row[0] == "study"] == ["not offered"]
