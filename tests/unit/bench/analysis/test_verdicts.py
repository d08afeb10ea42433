"""Verdicts of simulated campaigns: a twin is never told apart from itself, and a planted 10 % always is."""

from __future__ import annotations

import numpy as np
import pandas as pd

from bench.analysis import cells
from bench.records.runs_csv import TWIN

CAMPAIGNS, BLOCKS, NOISE = 20, 5, 0.02
LEVELS = (1, 4, 16, 64)
SPEEDS = {"onnx_py": 400.0, "onnx_py" + TWIN: 400.0, "planted": 440.0}


def simulate(seed: int) -> dict[cells.Key, pd.DataFrame]:
    """Return the cells of a sweep: blocks with a common speed, and windows with noise of their own."""
    rng = np.random.default_rng(seed)
    groups = {}
    for level in LEVELS:
        common = rng.normal(0, 0.05, BLOCKS)
        for name, rps in SPEEDS.items():
            rates = rps * np.exp(common + rng.normal(0, NOISE, BLOCKS))
            rows = pd.DataFrame({"block": range(1, BLOCKS + 1), "rps": rates, "refused": False})
            groups[cells.key(name, "closed", "search", concurrency=level)] = rows
    return groups


def words(name: str) -> list[str]:
    """Return the verdict of a target against onnx_py at concurrency 16 in each campaign."""
    key = cells.key(name, "closed", "search", concurrency=16)
    compared = [cells.compare(simulate(seed), key, "onnx_py", "rps") for seed in range(CAMPAIGNS)]
    return [each.word for each in compared if each]


def test_a_twin_is_neither_faster_nor_slower() -> None:
    """In 20 of 20 campaigns the same server is not told apart from itself."""
    found = words("onnx_py" + TWIN)

    assert len(found) == CAMPAIGNS
    assert set(found) <= {"equivalent", "inconclusive"}


def test_ten_percent_are_called_with_five_blocks() -> None:
    """In 20 of 20 campaigns a server that is 10 % faster is called faster."""
    assert words("planted") == ["faster"] * CAMPAIGNS
