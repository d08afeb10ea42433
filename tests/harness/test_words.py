"""Verdicts from real windows: a gateway against itself, and against itself with an added sleep."""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pytest

from bench.analysis import cells, summary
from bench.measurement.session import Bench, Session
from bench.records.runs_csv import TWIN, Runs
from tests.harness.windows import closed_window, started, target_of
from tests.support.breaking_proxy import behind

# 50 ms a request, slept, and the median of each window: what others take on a shared machine is then little.
PACED = behind(target_of("pseudo"), "queue=50")
SLOWED = behind(target_of("pseudo"), "queue=50", "slow=15")
UNSTEADY = behind(target_of("pseudo"), "queue=50", "slow=50")
BLOCKS, REQUESTS = 5, 12


pytestmark = pytest.mark.slow("a campaign of its own: tests/harness/test_campaign.py keeps one that is not slow")


def add_window(bench: Bench, runs: Runs, block: int, name: str, session: Session) -> None:
    """Measure one window at concurrency 1. Other work of the machine is not the question, so codes are removed."""
    row = closed_window(bench, session, REQUESTS, concurrency=1).row
    row.block, row.target, row.codes = block, name, ""
    runs.add([row])


@pytest.fixture(scope="module")
def runs(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Return five interleaved blocks: a gateway, its A/A twin, the same again, and the same slowed by 15 %."""
    written = Runs(tmp_path_factory.mktemp("words") / "runs.csv")
    arms = {"paced": PACED, f"paced{TWIN}": PACED, "again": PACED, "slowed": SLOWED}
    with ExitStack() as servers:
        lives = {name: servers.enter_context(started(bench, target)) for name, target in arms.items()}
        for block in range(1, BLOCKS + 1):
            for name in random.Random(block).sample(list(arms), len(arms)):  # noqa: S311  (reproducible)
                add_window(bench, written, block, name, lives[name])
    return summary.read_runs(written.file)


def compared(runs: pd.DataFrame, name: str, other: str, column: str) -> cells.Compared:
    """Return the comparison of a figure of two targets, as the report makes it."""
    rows = cells.group(runs)
    key = next(key for key in rows if key[0] == name)
    comparison = cells.compare(rows, key, other, column)
    assert comparison is not None
    return comparison


def test_a_gateway_against_itself_is_no_different(runs: pd.DataFrame) -> None:
    """Within the twin's noise band, the same gateway is neither faster nor slower."""
    assert compared(runs, "again", "paced", "p50_ms").word in ("equivalent", "inconclusive")


def test_a_gateway_that_sleeps_15_percent_longer_is_slower(runs: pd.DataFrame) -> None:
    """A sleep of 15 % is outside of the twin's noise band, and the verdict is slower."""
    assert compared(runs, "slowed", "paced", "p50_ms").word == "slower"


@pytest.mark.proves("E_CV")
def test_blocks_that_disagree_decide_nothing(bench: Bench, tmp_path: Path) -> None:
    """A gateway 50 % slower in its second block has E_CV in the summary, and the verdict is inconclusive."""
    written = Runs(tmp_path / "runs.csv")
    with started(bench, PACED) as paced, started(bench, UNSTEADY) as slower:
        for block, unsteady in ((1, paced), (2, slower)):
            add_window(bench, written, block, "paced", paced)
            add_window(bench, written, block, "unsteady", unsteady)

    run_table = summary.read_runs(written.file)

    assert "E_CV" in summary.summarise(run_table, None).set_index("target").codes["unsteady"]
    assert compared(run_table, "unsteady", "paced", "rps").word == "inconclusive"
