"""runs.csv: one row per cell and replicate, every column always there, empty rather than zero."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from bench.validity import refused

Key = tuple[str, ...]
KEY = ("block", "target", "scenario", "route", "concurrency", "batch", "percent")


@dataclass
class Row:
    """
    One measurement. The fields are the columns of runs.csv, in this order; the unit is in the name.

    `replicate` counts the repeats of a cell within its block (starts of `cold`, tries of a cell whose window the
    machine disturbed). A cell's load is its `concurrency` (closed loop), its `batch` (texts or documents a request)
    or its `percent` (of the closed maximum offered by an open loop; of repeats in `cache`). `codes` are joined by
    spaces; `rss_roles_mib` (steady), `pss_roles_mib` and `cpu_roles_ms` (a request) are role=number pairs, joined by
    spaces. Memory and CPU columns are sums over the roles.

    `device` is where the target was told to run its model (`cpu` where it has none), empty where others started it.
    The `gpu_` columns are of the card that it runs on, empty where it runs on none or the card does not tell:
    `gpu_mem_mib` the most that it took, `gpu_util` in percent and `gpu_power_w` means over the window,
    `gpu_j_per_1k_texts` the card's joules for 1,000 texts (queries, or documents of a request), and `gpu_throttled`
    every reason why the card ran slower than asked for.

    `bare_texts_per_s` is what the runtime alone does with as many texts a pass, `of_bare` the share of it that was
    served. In `threads`, `concurrency` is the number of cores that serve.

    `shed` of the `errors` are answers 429, 503 or 504. In `mixed`, `percent` is how much of the traffic is the mix.

    p50 to p99.9 are latencies: from the intended send in an open loop, from the send in a closed one;
    `service_p99_ms` is from the send in both.
    """

    block: int
    replicate: int
    seed: int
    target: str
    peer: bool
    ranked: bool
    precision: str
    device: str = field(default="", kw_only=True)
    scenario: str
    route: str = ""
    concurrency: int | None = None
    batch: int | None = None
    percent: int | None = None
    offered_rps: float | None = None
    slo_ms: float | None = None
    client: str = ""
    started_utc: str = ""
    requests: int | None = None
    validated: int | None = None
    errors: int | None = None
    shed: int | None = None
    empties: int | None = None
    duration_s: float | None = None
    rps: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    p999_ms: float | None = None
    mean_ms: float | None = None
    service_p99_ms: float | None = None
    goodput_rps: float | None = None
    texts_per_s: float | None = None
    tokens_per_s: float | None = None
    pairs_per_s: float | None = None
    texts_per_pass: float | None = None
    bare_texts_per_s: float | None = None
    of_bare: float | None = None
    p99_change: float | None = None
    goodput_kept: float | None = None
    recovery_s: float | None = None
    cpu_ms_per_req: float | None = None
    cpu_roles_ms: str = ""
    server_cores: float | None = None
    driver_cpu: float | None = None
    ceiling_rps: float | None = None
    late_p99_ms: float | None = None
    driver_lag: float | None = None
    stall_ms: float | None = None
    rss_idle_mib: float | None = None
    rss_steady_mib: float | None = None
    rss_peak_mib: float | None = None
    rss_recovered_mib: float | None = None
    rss_mib_per_min: float | None = None
    pss_mib: float | None = None
    uss_mib: float | None = None
    rss_roles_mib: str = ""
    pss_roles_mib: str = ""
    gpu_mem_mib: float | None = None
    gpu_util: float | None = None
    gpu_power_w: float | None = None
    gpu_j_per_1k_texts: float | None = None
    gpu_throttled: str = ""
    forwards: float | None = None
    checked: int | None = None
    agreed: int | None = None
    steal: float | None = None
    foreign_cores: float | None = None
    swapped_mib: float | None = None
    drift: float | None = None
    documents: int | None = None
    ingest_texts_per_s: float | None = None
    cosine_min: float | None = None
    cosine_mean: float | None = None
    questions: int | None = None
    hit1: float | None = None
    hit5: float | None = None
    ndcg10: float | None = None
    reference_hit1: float | None = None
    reference_hit5: float | None = None
    reference_ndcg10: float | None = None
    page_cache: str = ""
    listening_s: float | None = None
    ready_s: float | None = None
    first_answer_s: float | None = None
    steady_s: float | None = None
    environment_mb: float | None = None
    model_mb: float | None = None
    codes: str = ""
    reason: str = ""

    @property
    def key(self) -> Key:
        """What tells a row from all others of its campaign."""
        return key_of(asdict(self))


COLUMNS = [column.name for column in fields(Row)]


def key_of(row: dict[str, Any]) -> Key:
    """The key of a row as read or as made."""
    return tuple("" if row.get(name) is None else str(row[name]) for name in KEY)


class Runs:
    """The file, appended to and flushed after every row, so that what is done is kept."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.keys: set[Key] = set()
        self._capacity: dict[tuple[str, str], float] = {}
        self._drifts = [0.0]
        if file.exists():
            self._note(read(file))
        else:
            self._append([COLUMNS])

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows."""
        lines = [{name: _text(value) for name, value in asdict(row).items()} for row in rows]
        self._append(line.values() for line in lines)
        self._note(lines)

    def capacity(self, target: str, route: str) -> float | None:
        """The most requests a second a target answered in any closed-loop row so far; None with no sound row."""
        return self._capacity.get((target, route))

    def usual_drift(self) -> float:
        """How far off what it was at the beginning the machine's speed has been as a rule: the median of all rows."""
        return statistics.median(self._drifts)

    def _note(self, lines: Iterable[dict[str, str]]) -> None:
        for line in lines:
            self.keys.add(key_of(line))
            if line["drift"]:
                self._drifts.append(float(line["drift"]))
            if line["scenario"] == "closed" and line["rps"] and not refused(line["codes"].split()):
                cell = line["target"], line["route"]
                self._capacity[cell] = max(self._capacity.get(cell, 0.0), float(line["rps"]))

    def _append(self, lines: Iterable[Iterable[str]]) -> None:
        with self.file.open("a", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows(lines)


def read(file: Path) -> list[dict[str, str]]:
    """All rows as text, by column."""
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def _text(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
