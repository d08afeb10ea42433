"""`bench compare`: two campaigns, their noise band, and the exit code for CI."""

from __future__ import annotations

from argparse import Namespace
from functools import cache
from pathlib import Path

import numpy as np
import orjson
import pandas as pd
import pytest

from bench import paths
from bench.__main__ import main
from bench.analysis import cells, summary
from bench.analysis.summary import Campaign
from bench.commands import compare
from bench.errors import BenchError
from bench.records.runs_csv import TWIN, Row
from tests.support.campaign_builder import campaign, row

BLOCK_NOISE = 0.03  # what a whole block is slower or faster by, all its targets alike
LEVELS = (1, 4, 16, 64)
ROUTES = ("search", "embeddings")


@cache
def committed_noise() -> float:
    """
    Return the median noise of one window's rate within a block, in logarithms, over the committed twins.

    Two windows differ by sqrt(2) times the noise of each.
    """
    swept = (summary.read_runs(file) for file in paths.CAMPAIGNS.glob("*/*/runs.csv"))
    return float(np.median([noise for runs in swept if (noise := noise_of(runs[runs.scenario == "closed"]))]))


def noise_of(runs: pd.DataFrame) -> float:
    """Return the noise of one campaign's closed loops; 0 without a twin."""
    both = cells.group(runs)
    twins = [(own, both[(key[0].removesuffix(TWIN), *key[1:])]) for key, own in both.items() if key[0].endswith(TWIN)]
    strays = [
        np.log(twin[block][0] / original[block][0])
        for twin, original in ((cells.by_block(a, "rps"), cells.by_block(b, "rps")) for a, b in twins)
        for block in twin.keys() & original.keys()
    ]
    return float(np.sqrt(np.mean(np.square(strays)) / 2)) if strays else 0.0


def rows_of(targets: dict[str, float], seed: int, blocks: int = 5) -> list[Row]:
    """Return a closed sweep of targets with these rates, at the committed noise."""
    rng = np.random.default_rng(seed)
    moods = np.exp(rng.normal(0, BLOCK_NOISE, blocks))
    return [
        row(
            target,
            rps * level**0.1 * float(mood * np.exp(rng.normal(0, committed_noise()))),
            block,
            route=route,
            concurrency=level,
        )
        for block, mood in enumerate(moods, start=1)
        for target, rps in targets.items()
        for route in ROUTES
        for level in LEVELS
    ]


def machine(read: Campaign, **values: object) -> Path:
    """Return the folder of a campaign after these changes to its manifest's machine."""
    file = read.folder / "manifest.json"
    manifest = orjson.loads(file.read_bytes()) | {"calibration_s": 0.100}
    for name, value in values.items():
        (manifest if name == "calibration_s" else manifest["machine"])[name] = value
    file.write_bytes(orjson.dumps(manifest))
    return read.folder


def arguments(*folders: Path, **values: object) -> Namespace:
    """Return the command line of a comparison of campaigns."""
    nothing = dict.fromkeys(("revisions", "target", "route", "concurrency", "blocks", "metric"))
    return Namespace(campaigns=list(folders), **(nothing | values))


def words(read: Campaign, target: str) -> list[str]:
    """Return the verdict of each cell of a target against the baseline."""
    return read.summary[read.summary.target == target].verdict.tolist()


def test_a_gateway_entered_as_another_is_called_neither_faster_nor_slower(tmp_path: Path) -> None:
    """In 20 of 20 seeded A/A campaigns at the committed noise, no cell of eight has a difference."""
    for seed in range(20):
        rows = rows_of({"python": 180, "onnx_py": 180, "onnx_py~twin": 180}, seed)

        verdicts = words(campaign(tmp_path / str(seed), rows), "onnx_py")

        assert len(verdicts) == 8
        assert set(verdicts) <= {"equivalent", "inconclusive"}


def test_fifteen_percent_slower_is_called_slower(tmp_path: Path) -> None:
    """In 20 of 20 campaigns, a slowdown of 15 % is called slower in every cell."""
    for seed in range(20):
        rows = rows_of({"python": 180, "onnx_py": 180 * 0.85, "onnx_py~twin": 180 * 0.85}, seed)

        assert set(words(campaign(tmp_path / str(seed), rows), "onnx_py")) == {"slower"}


def test_two_campaigns_of_one_machine_are_paired_and_a_regression_is_the_exit_code(tmp_path: Path) -> None:
    """B 15 % slower than A exits with 1; the reverse, and A against itself, exit with 0."""
    a = machine(campaign(tmp_path / "a", rows_of({"onnx_py": 180}, seed=1)))
    b = machine(campaign(tmp_path / "b", rows_of({"onnx_py": 180 * 0.85}, seed=1)))

    assert main(["compare", str(a), str(b)]) == 1
    assert main(["compare", str(b), str(a)]) == 0
    assert main(["compare", str(a), str(a)]) == 0


def test_costs_regress_when_they_rise(tmp_path: Path) -> None:
    """More CPU per request is a regression."""
    a = machine(campaign(tmp_path / "a", rows_of({"onnx_py": 180}, seed=1)))
    b = machine(campaign(tmp_path / "b", rows_of({"onnx_py": 180 * 0.85}, seed=1)))

    comparison = compare.compare_campaigns(arguments(a, b, metric="cpu_ms_per_req", route="search", concurrency=16))

    (line,) = comparison.lines
    assert (line.cell, line.figure, line.compared.word) == ("closed search c=16", "cpu_ms_per_req", "slower")
    assert line.compared.ratio == pytest.approx(1 / 0.85, rel=0.05)
    assert comparison.regressions == [line]


@pytest.mark.parametrize(
    "value", [{"cpu": "Another"}, {"gpus": [{"name": "A card"}]}, {"calibration_s": 0.115}, {"calibration_s": None}]
)
def test_other_machines_are_not_paired_and_confirm_nothing(
    tmp_path: Path, value: dict[str, object], capsys: pytest.CaptureFixture[str]
) -> None:
    """Another CPU, another speed or an unknown speed is reported, and the exit code is 0."""
    a = machine(campaign(tmp_path / "a", rows_of({"onnx_py": 180}, seed=1)))
    b = machine(campaign(tmp_path / "b", rows_of({"onnx_py": 90}, seed=2)), **value)

    code = compare.run(arguments(a, b))

    output = capsys.readouterr().out
    assert code == 0
    assert "not paired, and no regression is confirmed" in output
    assert "slower" in output


def test_a_voided_or_missing_side_is_no_line(tmp_path: Path) -> None:
    """Only cells with sound rows on both sides are compared; without any, an error is raised."""
    good = rows_of({"onnx_py": 180}, seed=1)
    bad = rows_of({"onnx_py": 90}, seed=1)
    for each in bad:
        each.codes = "E_CLIENT" if each.route == "search" else ""
    a, b = (machine(campaign(tmp_path / name, rows)) for name, rows in (("a", good), ("b", bad)))

    assert {line.cell for line in compare.compare_campaigns(arguments(a, b)).lines} == {
        f"closed embeddings c={level}" for level in LEVELS
    }
    with pytest.raises(BenchError, match="no sound cell in common"):
        compare.compare_campaigns(arguments(a, b, route="search"))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "two campaign folders, or --revisions A B"),
        (["nowhere", "elsewhere"], "no manifest.json"),
        (["one", "two", "--revisions", "HEAD", "HEAD"], "not both"),
        (["--revisions", "HEAD", "no-such-revision"], "no such revision"),
        (["--revisions", "HEAD", "HEAD", "--target", "nobody"], "has no target 'nobody'"),
        (["--revisions", "HEAD", "HEAD", "--route", "rerank"], "one of search, embeddings, ingest"),
        (["--revisions", "HEAD", "HEAD", "--route", "ingest", "--metric", "instructions"], "goes on after it"),
        (["--revisions", "HEAD", "HEAD", "--metric", "hit1"], "one of cpu_ms_per_req, instructions, rps, p99_ms"),
        (["--revisions", "HEAD", "HEAD", "--blocks", "2"], "--blocks at least 3"),
    ],
)
def test_misuse_is_two_and_never_one(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A comparison that cannot run explains why, and exits with 2."""
    assert main(["compare", *words]) == 2
    assert message in capsys.readouterr().err
