"""`make footprint` tells what each gateway takes on disk."""

from __future__ import annotations

import importlib

import pytest

from bench import targets
from bench.measurement import disk_footprint

footprint_script = importlib.import_module("scripts.checks.footprint")


def test_every_target_has_its_sizes(capsys: pytest.CaptureFixture[str]) -> None:
    """Its packages, the largest of them, its model; the thin gateway has none, and no torch is where none is used."""
    footprint_script.main()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    row_by_target = {row[0]: row for row in rows if len(row) > 1 and row[0]}

    for target in targets.ours():
        assert row_by_target[target.name][1] == " + ".join(
            f"{mb:.0f}" for mb in disk_footprint.environments_mb(target).values()
        )
        assert row_by_target[target.name][3] == f"{disk_footprint.models_mb(target):.0f}"
    assert "torch" in row_by_target["python"][2]
    assert row_by_target["pseudo"][3] == "0"
    assert float(row_by_target["onnx_py"][1]) < float(row_by_target["python"][1]) / 2
