"""runs.csv: its columns, empty values, and the keys that a resumed campaign reads back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench import targets
from bench.errors import BenchError
from bench.measurement.plan import Cell
from bench.records.row import key_of, load_columns
from bench.records.runs_csv import COLUMNS, Row, Runs, read


def row(**values: object) -> Row:
    """Return a row with the required fields and these values."""
    made = Row(
        block=1,
        replicate=1,
        seed=2,
        target="onnx_py",
        peer=False,
        ranked=True,
        precision="fp32",
        scenario="closed",
        route="search",
        concurrency=16,
    )
    for name, value in values.items():
        setattr(made, name, value)
    return made


def test_every_row_has_every_column(tmp_path: Path) -> None:
    """A refused row has the columns of a sound one; a missing value is empty, never 0."""
    runs = Runs(tmp_path / "runs.csv")
    runs.add([row(rps=181.25), row(codes="E_START", reason="it ended, with a comma")])

    good, bad = read(tmp_path / "runs.csv")

    assert list(good) == list(bad) == COLUMNS
    assert (good["rps"], good["peer"], good["p99_ms"]) == ("181.25", "false", "")
    assert (bad["rps"], bad["errors"], bad["reason"]) == ("", "", "it ended, with a comma")


def test_columns_needed_by_readers_are_there() -> None:
    """Every figure of the sweep has a column with its unit in the name."""
    needed = {"rps", "p50_ms", "p95_ms", "p99_ms", "cpu_ms_per_req", "rss_roles_mib", "rss_steady_mib"}
    needed |= {"first_answer_s", "environment_mb", "codes", "ceiling_rps", "seed", "block"}

    assert needed <= set(COLUMNS)


def test_a_campaign_knows_its_cells_again(tmp_path: Path) -> None:
    """A reopened file knows the keys of its rows, and new rows are appended."""
    file = tmp_path / "runs.csv"
    Runs(file).add([row()])
    target = next(target for target in targets.ours() if target.name == "onnx_py")

    resumed = Runs(file)
    resumed.add([row(concurrency=64)])

    assert Cell(1, target, "closed", "search", 16).key in resumed.keys
    assert Cell(1, target, "closed", "search", 4).key not in resumed.keys
    assert [line["concurrency"] for line in read(file)] == ["16", "64"]


@pytest.mark.parametrize(
    ("scenario", "loads"),
    [
        ("server", {"concurrency": None, "batch": None, "load_percent": 50}),
        ("cache", {"concurrency": 16, "batch": None, "repeat_percent": 50}),
        ("mixed", {"concurrency": None, "batch": None, "mixed_percent": 0}),
        ("threads", {"cores": 2, "batch": 64, "load_percent": None}),
    ],
)
def test_a_column_means_one_thing(scenario: str, loads: dict[str, int | None]) -> None:
    """Each kind of load has a column of its own, and the row is known by the key of its cell."""
    target = next(target for target in targets.ours() if target.name == "onnx_py")
    given: dict[str, Any] = {
        "concurrency": loads.get("concurrency", loads.get("cores")),
        "batch": loads["batch"],
        "percent": next((value for name, value in loads.items() if name.endswith("_percent")), None),
    }
    cell = Cell(1, target, scenario, "search", **given)

    filled = load_columns(scenario, **given)

    assert filled == loads
    assert row(scenario=scenario, **{"concurrency": None, **filled}).key == cell.key


def test_an_older_row_has_the_key_of_its_cell() -> None:
    """Files from before the split have `percent`; their rows are known again."""
    old = {"block": "1", "target": "onnx_py", "scenario": "cache", "route": "embeddings", "concurrency": "16"}

    key = key_of({**old, "batch": "", "percent": "50"})

    assert key == ("1", "onnx_py", "cache", "embeddings", "16", "", "50", "", "")


def test_a_file_with_other_columns_is_not_continued(tmp_path: Path) -> None:
    """A row of today does not fit below an older header, so a new campaign is asked for."""
    file = tmp_path / "runs.csv"
    file.write_text("block,target,percent\n1,onnx_py,50\n")

    with pytest.raises(BenchError, match="other columns"):
        Runs(file)
