"""The rows of runs.csv as a table, with the refusals that only the whole campaign can decide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import pandas as pd

from bench.analysis.cells import LOADS
from bench.records.drift import UsualSpeed
from bench.records.refusal_codes import CODES, refused
from bench.records.row import KEY, key_of, load_columns
from bench.records.runs_csv import COLUMNS, LOOKS, Row

NUMBERS = ("int | None", "float | None")
MEASURES = [column.name for column in fields(Row) if column.type in NUMBERS and column.name not in (*KEY, *LOADS)]
# Texts of role=number pairs. A summary line has those of the row with the most memory.
ROLES = ("rss_roles_mib", "pss_roles_mib", "cpu_roles_ms")
TEXTS = [
    "target",
    "precision",
    "device",
    "scenario",
    "route",
    "client",
    "started_utc",
    *ROLES,
    "page_cache",
    "arrangement",
]
TEXTS += ["gpu_throttled", "codes", "reason"]


def read_runs(file: Path) -> pd.DataFrame:
    """
    Return runs.csv; empty texts are "", empty numbers and missing columns are NaN.

    Two columns are added: `refused`, and `speed_state`, which is "" until `judge_drift` has filled it.
    """
    rows = _split_loads(pd.read_csv(file, dtype=dict.fromkeys(TEXTS, "object"))).reindex(columns=COLUMNS)
    types = dict.fromkeys(TEXTS, object) | dict.fromkeys(MEASURES, float)
    runs = rows.astype(types).fillna(dict.fromkeys(TEXTS, ""))
    refusals = [refused(codes.split()) for codes in runs.codes]
    added = pd.DataFrame({"refused": refusals, "speed_state": ""}, index=runs.index)
    return pd.concat([runs, added], axis=1).copy()  # contiguous, so that the selection of rows is fast


def _split_loads(runs: pd.DataFrame) -> pd.DataFrame:
    """Return rows with each load in its column. Before 2026-12 `percent` and `concurrency` had several meanings."""
    if "percent" not in runs:
        return runs
    old = zip(runs.scenario, runs.concurrency, runs.batch, runs.percent, strict=True)
    loads = [load_columns(str(scenario), *numbers) for scenario, *numbers in old]
    columns = pd.DataFrame(loads, index=runs.index, columns=LOADS, dtype=float)
    return pd.concat([runs.drop(columns=["concurrency", "batch", "percent"]), columns], axis=1)


def judge_drift(runs: pd.DataFrame) -> None:
    """Add and lift E_DRIFT in place, and fill `speed_state`; the usual speed is that of the whole campaign."""
    looks = [_list_looks(row) for row in runs[[*LOOKS, "drift"]].to_numpy(float).tolist()]
    names = ["block", "target", "scenario", "route", *LOADS]
    keys = [key_of(dict(zip(names, row, strict=True))) for row in runs[names].itertuples(index=False)]
    usual = UsualSpeed.of((key, seen) for key, seen in zip(keys, looks, strict=True) if seen)
    codes = [
        _judge_codes(earned, drifted=usual.drifted(key[0], seen)) if seen else earned
        for earned, key, seen in zip(runs.codes, keys, looks, strict=True)
    ]
    runs["codes"] = np.array(codes, dtype=object)
    runs["refused"] = [refused(earned.split()) for earned in codes]
    runs["speed_state"] = [usual.state(seen) if seen else "" for seen in looks]


def _judge_codes(codes: str, *, drifted: bool) -> str:
    earned = {*codes.split()} - {"E_DRIFT"} | ({"E_DRIFT"} if drifted else set())
    return " ".join(code for code in CODES if code in earned)


def _list_looks(drifts: Sequence[float]) -> list[float]:
    """Return the looks before and after a window; files from before 2026-12 have the farther one only."""
    before, after, farther = drifts
    return [look for look in ((farther,) if np.isnan(before) else (before, after)) if not np.isnan(look)]
