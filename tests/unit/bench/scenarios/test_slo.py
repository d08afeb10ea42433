"""The scenario `slo`: what counts as a window, when its search is over, and a planted capacity."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest

from bench import targets
from bench.analysis.capacity_within_slo import rate_held
from bench.driver import arrivals
from bench.driver.open_loop import Decision
from bench.measurement.plan import PROFILES, Cell, Options
from bench.records.runs_csv import Row, Runs, read
from bench.scenarios import load, slo
from bench.scenarios.rate_search import RateSearch, Window
from bench.simulate.queue import Server, closed_loop, open_loop
from bench.targets import Target
from tests.support.campaign_builder import campaign

FULL = Options(PROFILES["full"], (16,), ("closed", "slo"), "raw", "cpu", 1)
QUEUE, SLO_S = Server(pass_s=0.003, token_s=0.0004, request_s=0.0002, most_tokens=200), 0.15
SECONDS = 20


def target_of(name: str) -> Target:
    """Return one of our targets or peers."""
    return next(target for target in targets.choose(None, with_peers=True) if target.name == name)


def row_of(scenario: str, block: int = 1, **values: object) -> Row:
    """Return a row of onnx_py on search."""
    made = Row(block, 1, 1, "onnx_py", False, True, "fp32", scenario, "search", slo_ms=150.0)
    for name, value in values.items():
        setattr(made, name, value)
    return made


@pytest.mark.parametrize("name", ["onnx_py", "study", "infinity"])
def test_both_routes_are_searched_and_peers_too(name: str) -> None:
    """A target has a cell for each of search and embeddings that it serves, in `slo` and in `server`."""
    target = target_of(name)
    routes = [route for route in ("search", "embeddings") if route in target.capabilities]

    assert [cell.route for cell in load("slo").cells(target, FULL, 1)] == routes
    assert {cell.route for cell in load("server").cells(target, FULL, 1)} == set(routes)


def test_a_search_that_was_interrupted_goes_on_with_its_rows(tmp_path: Path) -> None:
    """It is over when the bracket is narrow; a window that was measured again does not count."""
    runs, cell = Runs(tmp_path / "runs.csv"), Cell(1, target_of("onnx_py"), "slo", "search")
    runs.add([row_of("closed", rps=100.0, concurrency=16)])

    def finished() -> bool:
        return slo.finished(read(runs.file), cell, FULL)

    assert not finished()
    runs.add([row_of("slo", offered_rps=60.0, held=True), row_of("slo", offered_rps=63.0, held=None, codes="E_ENV")])
    assert not finished()
    runs.add([row_of("slo", offered_rps=64.0, held=False)])
    assert finished()
    assert slo.find_finished(read(runs.file), [cell, replace(cell, block=2)], FULL) == {cell.key}


def test_what_the_driver_decides_early_is_what_the_answers_show() -> None:
    """Answers within the limit decide after the minimum time; a queue that grows decides after a third of it."""
    schedule_s = np.arange(1, 20_001) / 1_000
    fast = [(i, 0, 0, 10_000_000) for i in range(20_000)]
    slow = [(i, 0, 0, 400_000_000) for i in range(20_000)]

    assert not Decision(schedule_s, 150.0, 15.0).made(fast[:10_000], 10.0)
    assert Decision(schedule_s, 150.0, 15.0).made(fast[:15_000], 15.0)
    assert not Decision(schedule_s, 150.0, 15.0).made(slow[:3_000], 4.0)
    assert Decision(schedule_s, 150.0, 15.0).made(slow[:5_000], 5.5)
    assert Decision(schedule_s, 150.0, 15.0).made([], 5.5)  # no answer at all is late


def simulate(rate_rps: float, seed: int) -> float:
    """Return the p99 in seconds of a window of the queue at a rate."""
    rng = np.random.default_rng(seed)
    arrivals_s = arrivals.poisson(rate_rps, int(SECONDS * rate_rps), seed)
    took_s = open_loop(QUEUE, arrivals_s, rng.integers(8, 24, len(arrivals_s)))
    return float(np.quantile(took_s, 0.99))


def test_a_planted_capacity_is_within_its_interval(tmp_path: Path) -> None:
    """The search over a simulated queue, three blocks, brackets the rate at which its long-run p99 is the limit."""
    tokens = np.random.default_rng(0).integers(8, 24, 6_000)
    max_rps = closed_loop(QUEUE, 64, tokens)[1]
    rows: list[Row] = [row_of("closed", rps=max_rps, concurrency=16)]
    for block in (1, 2, 3):
        windows: list[Window] = []
        search = slo.search_of(
            [_text(row) for row in rows], Cell(block, target_of("onnx_py"), "slo", "search"), max_rps, FULL
        )
        assert isinstance(search, RateSearch)
        while (rate_rps := search.next_rate(windows)) is not None:
            p99_s = simulate(rate_rps, seed=100 * block + len(windows))
            windows.append(Window(rate_rps, p99_s <= SLO_S))
            rows.append(
                row_of("slo", block, offered_rps=rate_rps, rps=rate_rps, held=p99_s <= SLO_S, p99_ms=1e3 * p99_s)
            )
    truth_rps = _long_run_capacity(max_rps)

    held = rate_held(campaign(tmp_path / "c", rows), "onnx_py", "search")

    assert held is not None
    assert held.blocks_held == 3
    assert held.windows == len(rows) - 1
    assert held.low <= truth_rps <= (held.high or np.inf)
    assert held.rps == pytest.approx(truth_rps, rel=0.12)


def _text(row: Row) -> dict[str, str]:
    return {name: "" if value is None else str(value).lower() for name, value in asdict(row).items()} | {
        "target": row.target
    }


def _long_run_capacity(max_rps: float) -> float:
    """Return the rate at which the median p99 of windows crosses the limit, by bisection."""
    low, high = 0.1 * max_rps, 1.1 * max_rps
    for _ in range(7):
        middle = (low + high) / 2
        within = np.median([simulate(middle, seed) for seed in range(9)]) <= SLO_S
        low, high = (middle, high) if within else (low, middle)
    return low


@pytest.mark.parametrize(
    ("windows", "words"),
    [
        ([Window(200.0, True), Window(240.0, False)], "200.0 rps held with p99 ≤ 150 ms, 240.0 rps not  windows: 2"),
        ([Window(200.0, True)], "200.0 rps held with p99 ≤ 150 ms  windows: 1"),
        ([Window(20.0, False)], "no rate held with p99 ≤ 150 ms, 20.0 rps not  windows: 1"),
    ],
)
def test_the_line_of_a_search_says_what_is_held_and_what_is_not(windows: list[Window], words: str) -> None:
    """The rates are those of the bracket."""
    assert slo.describe(windows, SLO_S * 1000).strip() == words
