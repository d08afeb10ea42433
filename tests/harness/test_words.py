"""Real windows in, words out: a gateway against itself, and against itself with sleep in its way."""

from __future__ import annotations

import random
from contextlib import ExitStack
from pathlib import Path

import pandas as pd
import pytest

from bench.campaign import TWIN
from bench.records import Runs
from bench.report import cells, summary
from bench.session import Bench, Live
from tests.harness.proxy import behind
from tests.harness.windows import closed_window, started, target_of

# 50 ms a request, slept, and the median of each window: what others take on a shared machine is then little.
PACED = behind(target_of("pseudo"), "queue=50")
SLOWED = behind(target_of("pseudo"), "queue=50", "slow=15")
UNSTEADY = behind(target_of("pseudo"), "queue=50", "slow=50")
BLOCKS, REQUESTS = 5, 12


def add_window(bench: Bench, runs: Runs, block: int, name: str, live: Live) -> None:
    """One window at one request in flight. What else the machine does meanwhile is not asked here: no codes."""
    row = closed_window(bench, live, REQUESTS, concurrency=1).row
    row.block, row.target, row.codes = block, name, ""
    runs.add([row])


@pytest.fixture(scope="module")
def runs(bench: Bench, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    """Return five interleaved blocks: a gateway, its A/A twin, the same once more, and the same slowed by 15 %."""
    written = Runs(tmp_path_factory.mktemp("words") / "runs.csv")
    arms = {"paced": PACED, f"paced{TWIN}": PACED, "again": PACED, "slowed": SLOWED}
    with ExitStack() as servers:
        lives = {name: servers.enter_context(started(bench, target)) for name, target in arms.items()}
        for block in range(1, BLOCKS + 1):
            for name in random.Random(block).sample(list(arms), len(arms)):  # noqa: S311  (reproducible)
                add_window(bench, written, block, name, lives[name])
    return summary.read_runs(written.file)


def compared(runs: pd.DataFrame, name: str, other: str, column: str) -> cells.Compared:
    """A figure of two arms, as the report compares two targets."""
    rows = cells.group(runs)
    key = next(key for key in rows if key[0] == name)
    found = cells.compare(rows, key, other, column)
    assert found is not None
    return found


def test_a_gateway_against_itself_is_no_different(runs: pd.DataFrame) -> None:
    """Held against the band of the twin, the same gateway entered once more is neither faster nor slower."""
    assert compared(runs, "again", "paced", "p50_ms").word in ("equivalent", "inconclusive")


def test_a_gateway_that_sleeps_15_percent_longer_is_slower(runs: pd.DataFrame) -> None:
    """The planted sleep clears the band of the twin, and is called by its name."""
    assert compared(runs, "slowed", "paced", "p50_ms").word == "slower"


@pytest.mark.proves("E_CV")
def test_blocks_that_disagree_decide_nothing(bench: Bench, tmp_path: Path) -> None:
    """A gateway half as slow again in its second block: its line of the summary says so, and is no verdict."""
    written = Runs(tmp_path / "runs.csv")
    with started(bench, PACED) as paced, started(bench, UNSTEADY) as slower:
        for block, unsteady in ((1, paced), (2, slower)):
            add_window(bench, written, block, "paced", paced)
            add_window(bench, written, block, "unsteady", unsteady)

    found = summary.read_runs(written.file)

    assert "E_CV" in summary.summarise(found, None).set_index("target").codes["unsteady"]
    assert compared(found, "unsteady", "paced", "rps").word == "inconclusive"
