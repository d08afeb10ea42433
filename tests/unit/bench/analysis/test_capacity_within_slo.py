"""The rate held within a limit, from the windows of `slo`, and from those of `server` in older campaigns."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.analysis.capacity_within_slo import capacity_within_slo, rate_held, rate_within
from bench.records.runs_csv import Row
from tests.support.campaign_builder import campaign, row


def window(block: int, rps: float, held: bool | None, **values: object) -> Row:
    """Return a window of `slo`."""
    shared: dict[str, object] = {"concurrency": None, "offered_rps": rps, "slo_ms": 150.0, "held": held}
    return row("onnx_py", rps, block, **{"scenario": "slo", "p99_ms": 60.0 if held else 300.0, **shared, **values})


def level(block: int, percent: int, rps: float, p99_ms: float, codes: str = "") -> Row:
    """Return a window of `server`, which answered at the offered rate."""
    return row(
        "onnx_py",
        rps,
        block,
        scenario="server",
        concurrency=None,
        load_percent=percent,
        offered_rps=rps,
        slo_ms=150.0,
        p99_ms=p99_ms,
        codes=codes,
    )


def test_a_block_that_fails_bounds_the_rate(tmp_path: Path) -> None:
    """The median is over blocks; the low end lies below every window that failed, the high end above all held."""
    rows = [
        *(window(1, rps, held) for rps, held in ((600, True), (700, True), (760, False))),
        *(window(2, rps, held) for rps, held in ((700, True), (760, True), (820, False))),
        *(window(3, rps, held) for rps, held in ((700, False), (640, True))),
    ]

    held = rate_held(campaign(tmp_path / "c", rows), "onnx_py", "search")

    assert held == (700, 640, 820, 8, 3)


def test_a_block_that_held_nothing_is_not_left_out(tmp_path: Path) -> None:
    """It counts as 0 in the median, and one of the three did not hold."""
    rows = [window(1, 700, True), window(2, 700, True), window(3, 700, False), window(3, 70, False)]

    held = rate_held(campaign(tmp_path / "c", rows), "onnx_py", "search")

    assert held == (700, 0.0, None, 4, 2)


def test_tries_that_were_measured_again_and_foreign_rows_do_not_count(tmp_path: Path) -> None:
    """A disturbed window that failed has no verdict; without a window there is no rate."""
    rows = [window(1, 700, None, codes="E_ENV"), window(1, 700, True, codes="E_DRIFT"), window(1, 800, False)]
    read = campaign(tmp_path / "c", rows)

    assert rate_held(read, "onnx_py", "search") == (700, 700, 800, 2, 1)
    assert rate_held(read, "onnx_py", "embeddings") is None
    assert rate_held(read, "split", "search") is None


def test_another_limit_is_read_from_the_same_windows(tmp_path: Path) -> None:
    """With 50 ms instead of 150, the faster windows decide."""
    rows = [window(1, 300, True, p99_ms=40.0), window(1, 500, True, p99_ms=80.0), window(1, 700, False, p99_ms=400.0)]
    read = campaign(tmp_path / "c", rows)

    assert rate_within(read, "onnx_py", "search", "p99_ms", 50.0) == (300, 300, 500, 3, 1)
    assert rate_within(read, "onnx_py", "search", "p99_ms", 10.0) is None


def test_a_failing_window_of_an_older_campaign_counts_with_the_level_below(tmp_path: Path) -> None:
    """At 85 % two blocks hold 712, the third fails and drifted: the low end is what the third held at 70 %."""
    rows = [level(block, 70, 590 + block, 60.0) for block in (1, 2, 3)]
    rows += [level(1, 85, 712, 85.0), level(2, 85, 714, 121.0), level(3, 85, 665, 320.0, "E_RATE E_DRIFT")]
    read = campaign(tmp_path / "c", rows)

    capacity = capacity_within_slo(read, "onnx_py", 150.0)
    held = rate_held(read, "onnx_py", "search")

    assert capacity == (712, 593, 85)
    assert held is not None
    assert held.low == pytest.approx(593)
    assert (held.rps, held.blocks_held, held.windows) == (712, 3, 6)


def test_a_disturbance_alone_blames_nobody_in_an_older_campaign(tmp_path: Path) -> None:
    """A slow window beside other work is left out; one of the target's own doing is not."""
    disturbed = [level(1, 70, 590, 60.0), level(2, 70, 590, 400.0, "E_ENV")]
    stalled = [level(1, 70, 590, 60.0), level(2, 70, 590, 400.0, "E_STALL")]

    assert rate_held(campaign(tmp_path / "a", disturbed), "onnx_py", "search") == (590, 590, None, 1, 1)
    assert rate_held(campaign(tmp_path / "b", stalled), "onnx_py", "search") == (295, 0.0, None, 2, 1)
