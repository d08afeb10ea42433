"""summary.csv: medians over blocks, intervals, ratios to the baseline and the word each ratio earns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
import pandas as pd

from bench import statistics
from bench.campaign import TWIN
from bench.records import COLUMNS
from bench.validity import CODES, refused

BASELINES = ("study", "python", "onnx_py")
KEYS = ["target", "scenario", "route", "concurrency"]
MEASURES = [
    "rps",
    "p50_ms",
    "p95_ms",
    "p99_ms",
    "cpu_ms_per_req",
    "server_cores",
    "rss_idle_mib",
    "rss_steady_mib",
    "rss_peak_mib",
    "pss_mib",
    "uss_mib",
    "listening_s",
    "ready_s",
    "first_answer_s",
    "ingest_texts_per_s",
    "cosine_min",
    "cosine_mean",
    "hit1",
    "hit5",
    "ndcg10",
    "reference_hit1",
    "reference_hit5",
    "reference_ndcg10",
    "environment_mb",
    "model_mb",
]
HEADLINE_CONCURRENCY = 16


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

    def lines(self, scenario: str, route: str = "", concurrency: int | None = None) -> pd.DataFrame:
        """Summary lines of one cell of every target but the twin, indexed by target, in the order asked for."""
        lines = self.summary[(self.summary.scenario == scenario) & (self.summary.route == route)]
        if concurrency is not None:
            lines = lines[lines.concurrency == concurrency]
        indexed = lines.set_index("target")
        return indexed.loc[[name for name in self.targets if name in indexed.index]]

    def title(self, target: str) -> str:
        """What a target is, in words."""
        return str(self.manifest["targets"][target]["title"])


def load(folder: Path) -> Campaign:
    """Read a campaign's manifest and runs and make its summary."""
    manifest = orjson.loads((folder / "manifest.json").read_bytes())
    runs = read_runs(folder / "runs.csv")
    baseline = next((name for name in BASELINES if name in set(runs.target)), None)
    return Campaign(folder, manifest, runs, summarise(runs, baseline), baseline)


def read_runs(file: Path) -> pd.DataFrame:
    """runs.csv with its texts as texts (empty, not NaN) and its numbers as numbers (NaN where empty)."""
    texts = ["target", "precision", "scenario", "route", "client", "started_utc", "rss_roles_mib", "page_cache"]
    texts += ["codes", "reason"]
    runs = pd.read_csv(file, dtype=dict.fromkeys(texts, "object")).reindex(columns=COLUMNS)
    runs[texts] = runs[texts].fillna("")
    runs["refused"] = [refused(codes.split()) for codes in runs.codes]
    return runs


def summarise(runs: pd.DataFrame, baseline: str | None) -> pd.DataFrame:
    """One line per target and cell. Refused rows give their codes to the line and nothing to its numbers."""
    lines = [
        _line(dict(zip(KEYS, key, strict=True)), group) for key, group in runs.groupby(KEYS, dropna=False, sort=False)
    ]
    summary = pd.DataFrame(lines)
    ratios = [_ratio(runs, line, baseline) for line in lines]
    return pd.concat([summary, pd.DataFrame(ratios)], axis=1)


def _line(key: dict[str, Any], group: pd.DataFrame) -> dict[str, Any]:
    good = group[~group.refused]
    rps = good.rps.dropna().tolist()
    low, high = statistics.interval(rps) or (None, None)
    codes = {code for joined in group.codes for code in joined.split()}
    first = group.iloc[0]
    return {
        **key,
        "precision": first.precision,
        "peer": bool(first.peer),
        "ranked": bool(first.ranked),
        "rows": len(group),
        "refused_rows": int(group.refused.sum()),
        "codes": " ".join(code for code in CODES if code in codes),
        **{name: statistics.median(good[name].dropna().tolist()) for name in MEASURES},
        "rss_roles_mib": good.rss_roles_mib.iloc[-1] if len(good) else "",
        "rps_low": low,
        "rps_high": high,
    }


def _ratio(runs: pd.DataFrame, line: dict[str, Any], baseline: str | None) -> dict[str, Any]:
    empty: dict[str, Any] = {"baseline": "", "ratio": None, "ratio_low": None, "ratio_high": None, "verdict": ""}
    if baseline is None or line["scenario"] != "closed" or line["target"] == baseline or not line["ranked"]:
        return empty
    compared = compare(runs, line["target"], baseline, line["route"], line["concurrency"])
    if compared is None:
        return empty
    ratio, bounds, said = compared
    low, high = bounds or (None, None)
    return {"baseline": baseline, "ratio": ratio, "ratio_low": low, "ratio_high": high, "verdict": said}


def compare(
    runs: pd.DataFrame, target: str, other: str, route: str, concurrency: float
) -> tuple[float, tuple[float, float] | None, str] | None:
    """Ratio of requests a second of two targets in one cell, its interval and its word; None with no shared block."""
    mine, theirs = (by_block(runs, name, route, concurrency) for name in (target, other))
    shared = [block for block in mine.index if block in theirs.index]
    if not shared:
        return None
    ratio, bounds = statistics.paired_ratio(mine[shared].tolist(), theirs[shared].tolist())
    if any(disturbed(runs, name, route, concurrency) for name in (target, other)):
        return ratio, bounds, "inconclusive"
    return ratio, bounds, statistics.word(ratio, bounds, noise(runs, route, concurrency))


def disturbed(runs: pd.DataFrame, target: str, route: str, concurrency: float) -> bool:
    """Whether other work took CPU during any window of this cell (E_ENV): its numbers decide nothing."""
    cell = cell_rows(runs, target, route, concurrency)
    return bool(cell.codes.str.contains("E_ENV").any())


def by_block(runs: pd.DataFrame, target: str, route: str, concurrency: float) -> pd.Series[float]:
    """Requests a second of one cell of the sweep, by block, refused rows left out."""
    return cell_rows(runs, target, route, concurrency).set_index("block").rps


def cell_rows(runs: pd.DataFrame, target: str, route: str, concurrency: float) -> pd.DataFrame:
    """The rows of one cell of the sweep that were not refused."""
    cell = (runs.target == target) & (runs.route == route) & (runs.concurrency == concurrency)
    return runs[cell & (runs.scenario == "closed") & ~runs.refused]


def noise(runs: pd.DataFrame, route: str, concurrency: float) -> float:
    """The A/A band of a cell: how far the twin strayed from its original in the worst block; 0 without a twin."""
    twins: Sequence[str] = [name for name in runs.target.unique() if name.endswith(TWIN)]
    if not twins:
        return 0.0
    twin, original = (by_block(runs, name, route, concurrency) for name in (twins[0], twins[0].removesuffix(TWIN)))
    ratios = (twin / original).dropna()
    return float((ratios - 1).abs().max()) if len(ratios) else 0.0
