"""
summary.csv: a line for every cell of every target, with medians, intervals, and the ratio to the baseline.

A percentile of a line is the median over blocks of each block's own order statistic; percentiles are never averaged,
and samples of different blocks are never put together. Memory is the most of any block: the first block's servers
have just ingested, those of later blocks started on what it left. The interval beside a figure is that of the
geometric mean over blocks, see `bench.statistics.interval`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from bench import statistics
from bench.campaign import TWIN
from bench.devices import is_gpu
from bench.records import COLUMNS, KEY, Row
from bench.report import cells
from bench.report.cells import FIGURES, KEYS, OWN_LOAD, Compared, Key
from bench.report.slo import Capacity, capacity_within, capacity_within_slo
from bench.statistics import usl as scalability
from bench.validity import CODES, MAX_DRIFT, apart, refused

__all__ = [
    "BASELINES",
    "Campaign",
    "Capacity",
    "Compared",
    "capacity_within",
    "capacity_within_slo",
    "compare",
    "load",
    "noise",
    "read_runs",
    "summarise",
]

BASELINES = ("study", "python", "onnx_py")
NUMBERS = ("int | None", "float | None")
MEASURES = [column.name for column in fields(Row) if column.type in NUMBERS and column.name not in KEY]
# Texts of role=number pairs, whose line is that of the row with the most memory.
ROLES = ("rss_roles_mib", "pss_roles_mib", "cpu_roles_ms")
MEMORY = [name for name in MEASURES if name.startswith(("rss_", "pss_", "uss_", "gpu_mem"))]
BOUNDED = list(dict.fromkeys(column for columns in FIGURES.values() for column in columns))
HEADLINE_CONCURRENCY = 16
# Manifests since this one are of campaigns held to their usual speed; those before were held to their first one.
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
        """Targets in the order they were asked for, the A/A twin left out."""
        return [name for name in self.manifest["targets"] if not name.endswith(TWIN)]

    @property
    def blocks(self) -> int:
        """Blocks that have rows."""
        return int(self.runs["block"].max()) if len(self.runs) else 0

    @property
    def concurrency(self) -> int:
        """The concurrency that headlines: 16, or the largest measured below or above it."""
        measured = sorted(int(c) for c in self.runs.loc[self.runs.scenario == "closed", "concurrency"].unique())
        return HEADLINE_CONCURRENCY if HEADLINE_CONCURRENCY in measured or not measured else measured[-1]

    @cached_property
    def cells(self) -> dict[Key, pd.DataFrame]:
        """The rows of every cell, by `bench.report.cells.KEYS`."""
        return cells.group(self.runs)

    @cached_property
    def on_gpu(self) -> frozenset[str]:
        """
        The targets that ran on a GPU: told to, and not refused for it, or seen on one.

        None in campaigns that have no columns for it.
        """
        sound = self.runs[~self.runs.refused.astype(bool)]
        there = sound["device"].map(is_gpu).astype(bool) | sound.gpu_mem_mib.notna()
        return frozenset(sound.target[there])

    def lines(
        self,
        scenario: str,
        route: str = "",
        concurrency: int | None = None,
        batch: int | None = None,
        percent: int | None = None,
    ) -> pd.DataFrame:
        """
        Summary lines of one scenario and route, at the loads given, indexed by target, in the order asked for.

        The twin is left out. A target has a line for each load that was not given.
        """
        lines = self.summary[(self.summary.scenario == scenario) & (self.summary.route == route)]
        for column, value in (("concurrency", concurrency), ("batch", batch), ("percent", percent)):
            if value is not None:
                lines = lines[lines[column] == value]
        indexed = lines.set_index("target")
        return indexed.loc[[name for name in self.targets if name in indexed.index]]

    def usl(self, target: str, route: str) -> scalability.Law | None:
        """The Universal Scalability Law of a target's closed sweep; None where it was refused."""
        return self.usl_fit(target, route).law

    def usl_fit(self, target: str, route: str) -> scalability.Fit:
        """The same, with the reason of a refusal. One request in flight is `single`'s where `closed` has none."""
        lines = self.summary[(self.summary.target == target) & (self.summary.route == route)].dropna(subset=["rps"])
        sweep = lines[lines.scenario == "closed"]
        if not (sweep.concurrency == 1).any():
            sweep = pd.concat([lines[lines.scenario == "single"], sweep])
        return scalability.fit(sweep.concurrency.tolist(), sweep.rps.tolist())

    def title(self, target: str) -> str:
        """What a target is, in words."""
        return str(self.manifest["targets"][target]["title"])


def load(folder: Path) -> Campaign:
    """Read a campaign's manifest and runs and make its summary."""
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    runs = read_runs(folder / "runs.csv")
    if manifest["schema"] >= USUAL_SPEED:
        _refuse_drifted(runs)
    baseline = next((name for name in BASELINES if name in set(runs.target)), None)
    return Campaign(folder, manifest, runs, summarise(runs, baseline), baseline)


def read_runs(file: Path) -> pd.DataFrame:
    """runs.csv with its texts as texts (empty, not NaN) and its numbers as numbers (NaN where empty or missing)."""
    texts = ["target", "precision", "device", "scenario", "route", "client", "started_utc", *ROLES, "page_cache"]
    texts += ["gpu_throttled", "codes", "reason"]
    runs = pd.read_csv(file, dtype=dict.fromkeys(texts, "object")).reindex(columns=COLUMNS)
    runs[texts] = runs[texts].astype(object).fillna("")
    runs[MEASURES] = runs[MEASURES].astype(float)
    runs["refused"] = [refused(codes.split()) for codes in runs.codes]
    return runs


def _refuse_drifted(runs: pd.DataFrame) -> None:
    """Refuse what was measured while the machine's speed was off the campaign's, which only its end tells."""
    usual = float(runs.drift.median())
    drifted = pd.Series([abs(apart(drift, usual)) > MAX_DRIFT for drift in runs.drift], index=runs.index)
    unsaid = drifted & ~runs.codes.str.contains("E_DRIFT")
    runs.loc[unsaid, "codes"] = (runs.codes[unsaid] + " E_DRIFT").str.strip()
    runs.loc[unsaid, "refused"] = True


def summarise(runs: pd.DataFrame, baseline: str | None) -> pd.DataFrame:
    """One line per target and cell. Refused rows give their codes to the line and nothing to its numbers."""
    rows = cells.group(runs)
    return pd.DataFrame([{**_line(key, own), **_ratio(rows, key, baseline)} for key, own in rows.items()])


def _line(key: Key, rows: pd.DataFrame) -> dict[str, Any]:
    """Key, medians and intervals of one cell; E_CV where the blocks of its headline spread by more than 10 %."""
    good, first, scenario = rows[~rows.refused], rows.iloc[0], str(key[1])
    codes = {code for joined in rows.codes for code in joined.split()}
    if cells.headline(scenario) and cells.unsteady(rows, cells.headline(scenario)):
        codes.add("E_CV")
    bounds: dict[str, Any] = dict.fromkeys(f"{column}_{end}" for column in BOUNDED for end in ("low", "high"))
    for column in FIGURES.get(scenario, ()):
        found = statistics.interval(list(cells.by_block(rows, column).values()))
        bounds[f"{column}_low"], bounds[f"{column}_high"] = found or (None, None)
    heaviest = good.sort_values("rss_steady_mib").iloc[-1] if len(good) else dict.fromkeys(ROLES, "")
    return {
        **{name: None if value == "" and name in KEY[4:] else value for name, value in zip(KEYS, key, strict=True)},
        "precision": first.precision,
        "device": first["device"],
        "peer": bool(first.peer),
        "ranked": bool(first.ranked),
        "rows": len(rows),
        "refused_rows": int(rows.refused.sum()),
        "codes": " ".join(code for code in CODES if code in codes),
        **dict(zip(MEASURES, good[MEASURES].median().tolist(), strict=True)),
        **dict(zip(MEMORY, good[MEMORY].max().tolist(), strict=True)),
        **{column: heaviest[column] for column in ROLES},
        **bounds,
    }


def _ratio(rows: Mapping[Key, pd.DataFrame], key: Key, baseline: str | None) -> dict[str, Any]:
    """
    The headline figure against the baseline's in the same cell.

    Where the campaign's baseline was not run in that scenario and route (a peer that does not rerank), the next does.
    """
    target, scenario = str(key[0]), str(key[1])
    empty = {"baseline": "", "figure": "", "ratio": None, "ratio_low": None, "ratio_high": None, "verdict": ""}
    figure, other = cells.headline(scenario), _baseline(rows, key, baseline)
    if not figure or scenario in OWN_LOAD or not other or target == other or not rows[key].ranked.iloc[0]:
        return empty
    compared = cells.compare(rows, key, other, figure)
    if compared is None:
        return empty
    low, high = compared.bounds or (None, None)
    said = {"ratio": compared.ratio, "ratio_low": low, "ratio_high": high, "verdict": compared.word}
    return {"baseline": other, "figure": figure, **said}


def _baseline(rows: Mapping[Key, pd.DataFrame], key: Key, baseline: str | None) -> str:
    ran = {other[0] for other in rows if other[1:3] == key[1:3]}
    return next((name for name in (baseline, *BASELINES) if name in ran), "") or ""


def compare(runs: pd.DataFrame, target: str, other: str, route: str, concurrency: float) -> Compared | None:
    """Requests a second of two targets in one cell of the sweep; None with no shared block."""
    rows = cells.group(runs[(runs.scenario == "closed") & (runs.route == route)])
    key = _sweep_key(target, route, concurrency)
    return cells.compare(rows, key, other, "rps") if key in rows else None


def noise(runs: pd.DataFrame, route: str, concurrency: float) -> float:
    """The A/A band around 1 of requests a second in one cell of the sweep; 0 without a twin."""
    rows = cells.group(runs[(runs.scenario == "closed") & (runs.route == route)])
    at = _sweep_key("", route, concurrency)[1:]
    blocks = max((own[~own.refused].block.nunique() for key, own in rows.items() if key[1:] == at), default=0)
    return cells.band(rows, ("", *at), "rps", max(1, blocks)) or 0.0


def _sweep_key(target: str, route: str, concurrency: float) -> Key:
    return (target, "closed", route, concurrency, "", "", "")
