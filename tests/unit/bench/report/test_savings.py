"""Tables of the README and the docs claim nothing that the blocks and the A/A band do not show."""

from __future__ import annotations

from pathlib import Path

from bench import paths
from bench.analysis import summary
from bench.report.tables import results, savings, scaling
from tests.support.campaign_builder import blocks, campaign

PUBLISHED = paths.CAMPAIGNS / "amd-epyc-avx512vnni-2c" / "2026-11-22T2249-full"


def cells_of(read: summary.Campaign) -> dict[str, dict[str, str]]:
    """Return the results table by target and column."""
    content = results.results(read)
    return {row[0]: dict(zip(content.columns, row, strict=True)) for row in content.rows}


def test_no_saving_is_printed_inside_the_noise(tmp_path: Path) -> None:
    """2 % less CPU is no saving where the twin differs by as much; half is one, with its interval."""
    rows = [
        *blocks("python", 100, 102, 98),
        *blocks("python~twin", 98, 104, 96),
        *blocks("onnx_py", 104, 101, 101),
        *blocks("onnx_py-int8", 200, 203, 197),
    ]

    shown = {
        line.split(" | ")[0].strip("| `"): line
        for line in savings.render(campaign(tmp_path / "c", rows)).splitlines()
    }

    assert "not told apart" in shown["onnx_py"]
    assert "50 % [" in shown["onnx_py-int8"]


def test_two_blocks_show_no_saving() -> None:
    """In F python has two sound blocks of search, so nothing is saved against it."""
    table = savings.render(summary.load(PUBLISHED))

    assert "too few blocks" in table
    assert " % " not in table.partition("Projected")[0]


def test_a_ratio_has_its_interval_or_says_why_not() -> None:
    """In F the ratio of python rests on one block; CPU of embeddings is not shown as that of searches."""
    shown = cells_of(summary.load(PUBLISHED))

    assert shown["python"]["embed ÷ study"] == "4.67× (too few blocks)"
    assert shown["onnx_py"]["embed ÷ study"].startswith("4.70× [")
    assert (shown["infinity"]["CPU ms/search"], shown["infinity"]["CPU ms/embed"]) == ("", "7.11")
    assert shown["onnx_py"]["start s, warm / cold files"] == "0.53 / 0.77"
    assert shown["python"]["blocks"] == "2 / 1"
    assert "study-as-published" not in shown


def test_the_scaling_table_of_a_campaign_with_a_refused_row_is_made() -> None:
    """F raised here; a figure that was not measured is now said to be."""
    assert "| 1,000,000,000 |" in scaling.render(summary.load(PUBLISHED))
