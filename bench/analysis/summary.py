"""
summary.csv: a line for each cell of each target, with medians, intervals and the ratio to the baseline.

A percentile is the median over blocks of each block's own order statistic. Percentiles are never averaged, and
samples of different blocks are never pooled. Memory is a median like every figure, but a peak is the maximum over
blocks. The `_slow` columns are medians of the windows in which the machine was slow, see `bench.records.drift`. An
interval is that of the geometric mean over blocks, see `bench.statistics.interval`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pandas as pd

from bench import statistics
from bench.analysis import cells
from bench.analysis.cells import FIGURES, KEYS, OWN_LOAD, Compared, Key
from bench.analysis.rows import MEASURES, ROLES, judge_drift, read_runs
from bench.machine.device_names import is_gpu
from bench.records.drift import SLOW
from bench.records.refusal_codes import CODES
from bench.records.runs_csv import HEADLINE_CONCURRENCY, TWIN
from bench.statistics import usl as scalability
from bench.statistics.intervals import F64

__all__ = ["BASELINES", "MEASURES", "Campaign", "compare", "load", "noise", "read_runs", "summarise"]

BASELINES = ("study", "python", "onnx_py")
PEAKS = ["rss_peak_mib", "gpu_mem_mib"]
BOUNDED = list(dict.fromkeys(column for columns in FIGURES.values() for column in columns))
# The figures that a summary line also has for the slow state of the machine.
SLOW_FIGURES = ("rps", "p99_ms", "cpu_ms_per_req")
# The manifest schema since which the machine speed is compared with its median, and no longer with the first window.
USUAL_SPEED = 2


@dataclass(frozen=True)
class Campaign:
    """A campaign as read back from its folder."""

    folder: Path
    manifest: dict[str, Any]
    runs: pd.DataFrame
    summary: pd.DataFrame
    baseline: str | None

    @property
    def targets(self) -> list[str]:
        """Names of the targets in the order of the command line, without the A/A twin."""
        return [name for name in self.manifest["targets"] if not name.endswith(TWIN)]

    @property
    def blocks(self) -> int:
        """Number of blocks with rows."""
        return int(self.runs["block"].max()) if len(self.runs) else 0

    @property
    def concurrency(self) -> int:
        """The concurrency of the headline: 16 if it was measured, else the largest measured one."""
        measured = sorted(int(c) for c in self.runs.loc[self.runs.scenario == "closed", "concurrency"].unique())
        return HEADLINE_CONCURRENCY if HEADLINE_CONCURRENCY in measured or not measured else measured[-1]

    @cached_property
    def cells(self) -> dict[Key, pd.DataFrame]:
        """The rows of each cell, by the values of `bench.analysis.cells.KEYS`."""
        return cells.group(self.runs)

    @cached_property
    def on_gpu(self) -> frozenset[str]:
        """
        The targets that ran on a GPU, by the device of their sound rows or by their GPU memory.

        Empty for campaigns without GPU columns.
        """
        sound = self.runs[~self.runs.refused.astype(bool)]
        on_card = sound["device"].map(is_gpu).astype(bool) | sound.gpu_mem_mib.notna()
        return frozenset(sound.target[on_card])

    def lines(
        self,
        scenario: str,
        route: str = "",
        concurrency: int | None = None,
        batch: int | None = None,
        load_percent: int | None = None,
    ) -> pd.DataFrame:
        """
        Return the summary lines of a scenario and route, indexed by target in the order of `targets`.

        `concurrency`, `batch` and `load_percent` filter by load; without them a target has a line for each load. The
        twin is left out.
        """
        lines = self.summary[(self.summary.scenario == scenario) & (self.summary.route == route)]
        for column, value in (("concurrency", concurrency), ("batch", batch), ("load_percent", load_percent)):
            if value is not None:
                lines = lines[lines[column] == value]
        indexed = lines.set_index("target")
        return indexed.loc[[name for name in self.targets if name in indexed.index]]

    def usl(self, target: str, route: str) -> scalability.Law | None:
        """Return the Universal Scalability Law of a target's closed sweep; None if the fit was refused."""
        return self.usl_fit(target, route).law

    def usl_fit(self, target: str, route: str) -> scalability.Fit:
        """Return the fit, or why it was refused. `single` is the point at concurrency 1 if `closed` has none."""
        lines = self.summary[(self.summary.target == target) & (self.summary.route == route)].dropna(subset=["rps"])
        sweep = lines[lines.scenario == "closed"]
        if not (sweep.concurrency == 1).any():
            sweep = pd.concat([lines[lines.scenario == "single"], sweep])
        return scalability.fit(sweep.concurrency.tolist(), sweep.rps.tolist())

    def title(self, target: str) -> str:
        """Return the title of a target."""
        return str(self.manifest["targets"][target]["title"])


def load(folder: Path) -> Campaign:
    """Return a campaign: its manifest, its runs, and the summary computed from them."""
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    runs = read_runs(folder / "runs.csv")
    if manifest["schema"] >= USUAL_SPEED:
        judge_drift(runs)
    baseline = next((name for name in BASELINES if name in set(runs.target)), None)
    return Campaign(folder, manifest, runs, summarise(runs, baseline), baseline)


def summarise(runs: pd.DataFrame, baseline: str | None) -> pd.DataFrame:
    """Return one line per target and cell. Refused rows add their codes to the line, and nothing to its numbers."""
    rows = cells.group(runs)
    return pd.DataFrame(
        [{**_summarise_cell(key, own), **_compare_baseline(rows, key, baseline)} for key, own in rows.items()]
    )


def _summarise_cell(key: Key, rows: pd.DataFrame) -> dict[str, Any]:
    """Return key, medians and intervals of one cell; adds E_CV if the headline varies by more than 10 %."""
    good, first, scenario = rows[~rows.refused], rows.iloc[0], str(key[1])
    codes = {code for joined in rows.codes for code in joined.split()}
    if cells.headline(scenario) and cells.unsteady(rows, cells.headline(scenario)):
        codes.add("E_CV")
    bounds: dict[str, Any] = dict.fromkeys(f"{column}_{end}" for column in BOUNDED for end in ("low", "high"))
    for column in FIGURES.get(scenario, ()):
        interval = statistics.interval(list(cells.by_block(rows, column).values()))
        bounds[f"{column}_low"], bounds[f"{column}_high"] = interval or (None, None)
    heaviest = good.sort_values("rss_steady_mib").iloc[-1] if len(good) else dict.fromkeys(ROLES, "")
    return {
        **{
            name: None if value == "" and name in cells.LOADS else value
            for name, value in zip(KEYS, key, strict=True)
        },
        "precision": first.precision,
        "device": first["device"],
        "peer": bool(first.peer),
        "ranked": bool(first.ranked),
        "rows": len(rows),
        "refused_rows": int(rows.refused.sum()),
        "codes": " ".join(code for code in CODES if code in codes),
        **_summarise_slow_state(rows),
        **_summarise_columns(good, MEASURES, np.median),
        **_summarise_columns(good, PEAKS, np.max),
        **{column: heaviest[column] for column in ROLES},
        **bounds,
    }


def _summarise_columns(rows: pd.DataFrame, columns: list[str], statistic: Callable[[F64], Any]) -> dict[str, Any]:
    """Return a statistic of each column over the rows that have a number; NaN without one."""
    values = rows[columns].to_numpy(float).T
    known = [column[~np.isnan(column)] for column in values]
    return {name: float(statistic(own)) if len(own) else np.nan for name, own in zip(columns, known, strict=True)}


def _summarise_slow_state(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the medians of the windows in which the machine was slow, kept or refused for nothing but that."""
    slow = rows[(rows.speed_state == SLOW) & rows.codes.isin(["", "E_DRIFT"])]
    return {
        "slow_rows": len(slow),
        **{f"{column}_slow": slow[column].median() if len(slow) else None for column in SLOW_FIGURES},
    }


def _compare_baseline(rows: Mapping[Key, pd.DataFrame], key: Key, baseline: str | None) -> dict[str, Any]:
    """
    Return the ratio of the headline figure to the baseline's in the same cell.

    The next of BASELINES stands in if the campaign's baseline was not run in that scenario and route, as a peer that
    does not rerank.
    """
    target, scenario = str(key[0]), str(key[1])
    empty = {"baseline": "", "figure": "", "ratio": None, "ratio_low": None, "ratio_high": None, "verdict": ""}
    figure, other = cells.headline(scenario), _choose_baseline(rows, key, baseline)
    if not figure or scenario in OWN_LOAD or not other or target == other or not rows[key].ranked.iloc[0]:
        return empty
    compared = cells.compare(rows, key, other, figure)
    if compared is None:
        return empty
    low, high = compared.bounds or (None, None)
    ratio = {"ratio": compared.ratio, "ratio_low": low, "ratio_high": high, "verdict": compared.word}
    return {"baseline": other, "figure": figure, **ratio}


def _choose_baseline(rows: Mapping[Key, pd.DataFrame], key: Key, baseline: str | None) -> str:
    ran = {other[0] for other in rows if other[1:3] == key[1:3]}
    return next((name for name in (baseline, *BASELINES) if name in ran), "") or ""


def compare(runs: pd.DataFrame, target: str, other: str, route: str, concurrency: float) -> Compared | None:
    """Compare requests a second of two targets in one cell of the sweep; None without a common block."""
    rows = cells.group(runs[(runs.scenario == "closed") & (runs.route == route)])
    key = _build_sweep_key(target, route, concurrency)
    return cells.compare(rows, key, other, "rps") if key in rows else None


def noise(runs: pd.DataFrame, route: str, concurrency: float) -> float:
    """Return the A/A band around 1 of requests a second in one cell of the sweep; 0 without a twin."""
    rows = cells.group(runs[(runs.scenario == "closed") & (runs.route == route)])
    cell = _build_sweep_key("", route, concurrency)[1:]
    blocks = max((own[~own.refused].block.nunique() for key, own in rows.items() if key[1:] == cell), default=0)
    return cells.band(rows, ("", *cell), "rps", max(1, blocks)) or 0.0


def _build_sweep_key(target: str, route: str, concurrency: float) -> Key:
    return cells.key(target, "closed", route, concurrency=concurrency)
