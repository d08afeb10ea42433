"""runs.csv: one row per cell and replicate. Every column is always present; a missing value is empty, never 0."""

from __future__ import annotations

import csv
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from bench.records.refusal_codes import refused

Key = tuple[str, ...]
KEY = ("block", "target", "scenario", "route", "concurrency", "batch", "percent")
# Suffix of the A/A twin: one target is measured twice, and the spread between the two is the noise band.
TWIN = "~twin"
# Requests in flight of the cell that headlines compare, where a campaign measured it.
HEADLINE_CONCURRENCY = 16


@dataclass
class Row:
    """
    One measurement. The fields are the columns of runs.csv, in this order. Names contain the unit.

    Load: `concurrency` (closed loop; in `threads`, the number of server cores), `batch` (texts or documents per
    request), `percent` (of the closed-loop maximum in an open loop, of repeats in `cache`, of mixed traffic in
    `mixed`). `replicate` counts repeats of a cell within its block: starts of `cold`, tries of a disturbed window.

    Errors: `shed` counts the errors with status 429, 503 or 504. `codes` are joined by spaces.

    Latency: p50 to p99.9 run from the intended send in an open loop and from the send in a closed one.
    `service_p99_ms` runs from the send in both.

    CPU and memory are sums over the roles. `rss_roles_mib` (steady), `pss_roles_mib` and `cpu_roles_ms` (per request)
    are role=number pairs joined by spaces.

    `device` is the device given to the target: `cpu` if it has no model, empty if the harness did not start it. The
    `gpu_` columns are empty if the target runs on no GPU or the GPU does not report them. `gpu_mem_mib` is the
    maximum of the window; `gpu_util` (percent) and `gpu_power_w` are means. `gpu_j_per_1k_texts` is the energy of the
    whole card per 1,000 texts (queries, or documents of a request). `gpu_throttled` lists every throttle reason.

    `bare_texts_per_s` is the rate of the runtime alone at the same batch size; `of_bare` is the served share of it.
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
        """The values of KEY, which identify the row's cell within its campaign."""
        return key_of(asdict(self))


COLUMNS = [column.name for column in fields(Row)]


def key_of(row: dict[str, Any]) -> Key:
    """Return the key of a row: of one read from a file, or of `asdict` of a new one."""
    return tuple("" if row.get(name) is None else str(row[name]) for name in KEY)


class Runs:
    """The open runs.csv of a campaign. Rows are appended and flushed at once, so that an interruption loses none."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.keys: set[Key] = set()
        self._capacity: dict[tuple[str, str], float] = {}
        self._drifts = [0.0]
        if file.exists():
            self._index(read(file))
        else:
            self._append([COLUMNS])

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows to the file and index them."""
        lines = [{name: _format(value) for name, value in asdict(row).items()} for row in rows]
        self._append(line.values() for line in lines)
        self._index(lines)

    def capacity(self, target: str, route: str) -> float | None:
        """Return the most requests per second in any sound closed-loop row of the target; None without such a row."""
        return self._capacity.get((target, route))

    def usual_drift(self) -> float:
        """Return the median drift of the machine's speed since the campaign began, over all rows."""
        return statistics.median(self._drifts)

    def _index(self, lines: Iterable[dict[str, str]]) -> None:
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
    """Return all rows as text, each a dict by column name."""
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def _format(value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.6g}" if isinstance(value, float) else str(value)
