"""summary.csv: a line per cell of every scenario, capacities, and the scalability law of a sweep."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from bench import paths
from bench.analysis import capacity_within_slo, summary
from bench.records.runs_csv import Row
from bench.statistics import usl
from tests.support.campaign_builder import blocks, campaign, row

# Campaign F of the review of the harness, whose rows these tests recompute.
PUBLISHED = paths.CAMPAIGNS / "amd-epyc-avx512vnni-2c" / "2026-11-22T2249-full"


def test_blocks_that_spread_decide_nothing_and_are_shown(tmp_path: Path) -> None:
    """With a spread over 10 % between blocks (E_CV), number and ratio stay and the verdict is inconclusive."""
    rows = [*blocks("onnx_py", 180, 240, 150), *blocks("split", 180, 181, 182), *blocks("study", 40, 41, 40)]

    lines = campaign(tmp_path / "c", rows).lines("closed", "search", 16)

    assert (lines.codes["onnx_py"], lines.verdict["onnx_py"], lines.rps["onnx_py"]) == ("E_CV", "inconclusive", 180)
    assert lines.ratio["onnx_py"] > 4
    assert (lines.codes["split"], lines.verdict["split"]) == ("", "faster")


def test_every_scenario_has_lines_by_its_own_load(tmp_path: Path) -> None:
    """Batch, percent and page cache separate cells; for a headline in seconds, less is better."""
    shared: dict[str, object] = {"concurrency": None}
    rows = [
        row(target, 100, block, scenario="offline", route="embeddings", batch=batch, texts_per_s=rate, **shared)
        for block in (1, 2, 3)
        for target, rate in (("onnx_py", 300.0 + block), ("study", 100.0 + block))
        for batch in (32, 64)
    ]
    rows += [
        row(target, 100, 1, scenario="cold", replicate=start, page_cache=kind, first_answer_s=time_s, **shared)
        for start, jitter in enumerate((0.0, 0.01, 0.02), start=1)
        for kind in ("warm", "cold")
        for target, time_s in (("onnx_py", 1.0 + jitter), ("study", 4.0 + jitter))
    ]
    read = campaign(tmp_path / "c", rows)

    offline, cold = read.lines("offline", "embeddings", batch=32), read.lines("cold", "search")

    assert list(offline.index) == ["onnx_py", "study"]
    assert (offline.texts_per_s["onnx_py"], offline.figure["onnx_py"], offline.verdict["onnx_py"]) == (
        302,
        "texts_per_s",
        "faster",
    )
    assert list(cold.loc["onnx_py"].page_cache) == ["warm", "cold"]
    assert list(cold.loc["onnx_py"].verdict) == ["faster", "faster"]
    assert cold.loc["onnx_py"].ratio.tolist() == [pytest.approx(0.25, rel=0.02)] * 2
    assert cold.loc["onnx_py"].first_answer_s_low.notna().all()


def test_where_the_baseline_was_not_run_the_next_is(tmp_path: Path) -> None:
    """If the first baseline lacks a scenario, the next baseline is used and named in the line."""
    cell = {"scenario": "rerank", "route": "rerank", "concurrency": None, "batch": 20}
    rows = [*blocks("onnx_py", 180, 181, 182), *blocks("study", 45, 45, 45), *blocks("python", 90, 90, 90)]
    rows += [row("onnx_py", 9, block, pairs_per_s=180.0, **cell) for block in (1, 2, 3)]
    rows += [row("python", 9, block, pairs_per_s=90.0, **cell) for block in (1, 2, 3)]
    read = campaign(tmp_path / "c", rows)

    assert read.lines("closed", "search", 16).baseline["onnx_py"] == "study"
    assert read.lines("rerank", "rerank", batch=20).baseline["onnx_py"] == "python"


def served(target: str, block: int, percent: int, p99_ms: float, **values: object) -> Row:
    """Return a row of `server` at this share of 100 requests per second."""
    made = {"scenario": "server", "concurrency": None, "load_percent": percent, "offered_rps": float(percent)}
    answered = float(percent) * (1 - 0.001 * block)
    return row(target, **{"rps": answered, "block": block, **made, "p99_ms": p99_ms, **values})  # type: ignore[arg-type]


def test_the_capacity_is_the_highest_level_held_with_all_below_it(tmp_path: Path) -> None:
    """A level is held if most blocks held it, and a block that missed it counts with the level below."""
    times = {40: (20, 21, 22), 60: (50, 160, 70), 75: (151, 152, 149), 85: (90, 90, 90)}
    rows = [served("onnx_py", b, level, ms) for level, of in times.items() for b, ms in enumerate(of, start=1)]
    read = campaign(tmp_path / "c", rows)

    held = capacity_within_slo.capacity_within_slo(read, "onnx_py", 150)

    assert held is not None
    assert held.percent == 60
    assert (held.low, held.rps) == pytest.approx((40 * 0.998, 60 * 0.997))
    assert capacity_within_slo.capacity_within_slo(read, "onnx_py", 155) == pytest.approx(
        (85 * 0.997, 40 * 0.998, 85)
    )
    assert capacity_within_slo.capacity_within_slo(read, "onnx_py", 10) is None
    assert capacity_within_slo.capacity_within(read, "onnx_py", "embeddings", "p95_ms", 150) is None


def test_a_level_is_held_only_when_it_was_answered(tmp_path: Path) -> None:
    """A rate not reached, or refused for the target's errors, is missed; one voided by the machine is unknown."""
    levels = [served("onnx_py", b, 40, 20) for b in (1, 2, 3)]
    slow = [served("onnx_py", b, 105, 20, rps=90.0) for b in (1, 2, 3)]
    wrong = [served("onnx_py", b, 60, 20, codes="E_ERR") for b in (1, 2, 3)]
    voided = [served("onnx_py", b, 60, 900, codes="E_ENV") for b in (1, 2, 3)]
    higher = [served("onnx_py", b, 75, 20) for b in (1, 2, 3)]

    capacities = [
        capacity_within_slo.capacity_within_slo(campaign(tmp_path / name, [*levels, *rows]), "onnx_py", 150)
        for name, rows in {"slow": slow, "wrong": [*wrong, *higher], "voided": [*voided, *higher]}.items()
    ]

    assert [capacity and capacity.percent for capacity in capacities] == [40, 40, 75]


def test_the_law_of_a_sweep_begins_with_one_request_in_flight(tmp_path: Path) -> None:
    """Without c = 1 in the sweep, `single` provides it; three levels are refused with a reason."""
    law = usl.Law(100, 0.2, 0.01)
    sweep = [row("onnx_py", float(law.rps(c)), concurrency=c) for c in (4, 16, 64)]
    first = row("onnx_py", float(law.rps(1)), scenario="single", concurrency=1)

    short, whole = campaign(tmp_path / "short", sweep), campaign(tmp_path / "whole", [*sweep, first])
    sweep_law = whole.usl("onnx_py", "search")

    assert short.usl("onnx_py", "search") is None
    assert "4 needed" in short.usl_fit("onnx_py", "search").reason
    assert sweep_law is not None
    assert sweep_law.peak_concurrency == pytest.approx(80**0.5, rel=0.01)


def test_campaigns_of_the_first_columns_still_load() -> None:
    """Every committed campaign loads; missing columns are NaN, and texts are texts."""
    folders = [file.parent for file in sorted(paths.CAMPAIGNS.glob("*/*/manifest.json"))]

    for folder in folders:
        read = summary.load(folder)

        assert len(read.summary)
        assert all(isinstance(text, str) for text in read.runs.page_cache)
    assert folders


def test_loads_of_older_campaigns_are_in_columns_of_their_own() -> None:
    """In committed files `percent` and `concurrency` mean two things each; read back, a column means one."""
    runs = summary.load(PUBLISHED).runs

    assert "percent" not in runs
    assert runs.groupby("scenario").load_percent.max()[["server", "overload", "burst"]].tolist() == [85, 300, 50]
    assert runs.groupby("scenario").repeat_percent.max().dropna().to_dict() == {"cache": 100}
    assert runs.groupby("scenario").mixed_percent.max().dropna().to_dict() == {"mixed": 100}
    assert runs.groupby("scenario").cores.max().dropna().to_dict() == {"threads": 2}
    assert runs[runs.scenario == "threads"].concurrency.isna().all()


def test_a_window_at_another_speed_than_the_campaigns_gives_no_number(tmp_path: Path) -> None:
    """Windows at another speed than the campaign's median are refused once all rows are known."""
    rows = [*blocks("onnx_py", 240, 240, 241), *blocks("split", 200, 201, 202), *blocks("study", 40, 50, 50)]
    rows[0] = replace(rows[0], rps=180.0, drift_before=0.0, drift_after=-0.05)
    rows[1:] = [replace(window, drift_before=-0.05, drift_after=-0.06) for window in rows[1:]]

    read = campaign(tmp_path / "c", rows)

    assert read.runs.codes.tolist() == ["E_DRIFT", *[""] * 8]
    assert read.runs.speed_state.tolist() == ["slow", *["usual"] * 8]
    line = read.lines("closed", "search", 16).loc["onnx_py"]
    assert (line.rps, line.slow_rows, line.rps_slow) == (240.5, 1, 180)


def test_a_window_refused_for_an_early_guess_of_the_usual_speed_counts_again(tmp_path: Path) -> None:
    """E_DRIFT is lifted from a window that is at the usual speed of the whole campaign; other codes stay."""
    rows = [*blocks("onnx_py", 180, 181, 182), *blocks("study", 40, 41, 42)]
    rows = [replace(window, drift_before=-0.05, drift_after=-0.05) for window in rows]
    rows[0].codes, rows[3].codes = "E_DRIFT", "E_ENV E_DRIFT"

    read = campaign(tmp_path / "c", rows)

    assert read.runs.codes.tolist() == ["", "", "", "E_ENV", "", ""]
    assert read.lines("closed", "search", 16).rps["onnx_py"] == 181


def test_a_slow_block_stays_in_the_numbers(tmp_path: Path) -> None:
    """A block that was 8 % slow as a whole keeps its rows, and widens the interval as it should."""
    rows = [*blocks("onnx_py", 180, 181, 166), *blocks("study", 40, 41, 37)]
    rows = [replace(row, drift_before=0.08 * (row.block == 3), drift_after=0.08 * (row.block == 3)) for row in rows]

    read = campaign(tmp_path / "c", rows)
    line = read.lines("closed", "search", 16).loc["onnx_py"]

    assert not read.runs.refused.any()
    assert (line.refused_rows, line.slow_rows, line.rps_slow) == (0, 1, 166)


def test_windows_at_the_usual_speed_of_a_committed_campaign_are_lifted() -> None:
    """Rows refused while F ran are kept if they are within 3 % of its usual speed; others are refused at the end."""
    read = summary.load(PUBLISHED)
    online = summary.read_runs(PUBLISHED / "runs.csv")

    lifted = online.codes.str.contains("E_DRIFT") & ~read.runs.codes.str.contains("E_DRIFT")
    added = ~online.codes.str.contains("E_DRIFT") & read.runs.codes.str.contains("E_DRIFT")

    assert (lifted.sum(), added.sum()) == (4, 13)
    assert set(read.runs.speed_state[lifted]) == {"usual"}
    assert "usual" not in set(read.runs.speed_state[added])
