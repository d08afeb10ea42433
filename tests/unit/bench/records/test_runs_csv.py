"""runs.csv: its columns, empty values, and the keys that a resumed campaign reads back."""

from __future__ import annotations

from pathlib import Path

from bench import targets
from bench.measurement.plan import Cell
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
