"""The record of a soak: status codes and latencies, memory and open files of each process, and the verdict."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
import psutil

from tests.support.gateways import Gateway

MIB = 1 << 20
SETTLE_MINUTES = 5.0  # caches and allocators fill during this time
MAX_MIB_PER_MIN, MAX_EXTRA_FILES = 1.0, 20


@dataclass
class Record:
    """
    All that happened in a soak.

    `answers` (status -> count) and `latencies_s` cover the time since the last row. `jobs` maps the id of each
    accepted job to its document ids. `faults` are (seconds, name). `errors` are sentences for the verdict. The open
    files of each process are counted when no client is connected.
    """

    answers: Counter[int] = field(default_factory=Counter)
    latencies_s: list[float] = field(default_factory=list)
    jobs: dict[str, list[str]] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)
    faults: list[tuple[float, str]] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    files_before: dict[str, int] = field(default_factory=dict)
    files_after: dict[str, int] = field(default_factory=dict)

    def add_row(self, second: float, gateway: Gateway) -> None:
        """Append a row of soak.csv: answers and latencies since the last row, memory and open files now."""
        self.rows.append({"second": round(second, 1), **self._take_answers(), **measure_processes(gateway)})

    def clear_answers(self) -> None:
        """Forget the answers and latencies since the last row."""
        self.answers.clear()
        self.latencies_s.clear()

    def _take_answers(self) -> dict[str, float]:
        answers, latencies_s = Counter(self.answers), sorted(self.latencies_s)
        self.clear_answers()
        row = {f"status_{status}": float(number) for status, number in answers.items()}
        if latencies_s:
            row["p50_ms"], row["p99_ms"] = (1e3 * float(np.percentile(latencies_s, q)) for q in (50, 99))
        return row


def measure_processes(gateway: Gateway) -> dict[str, float]:
    """Return PSS in MiB and open files of each process, without a process that was just killed."""
    values: dict[str, float] = {}
    for name, process in gateway.processes.items():
        try:
            running = psutil.Process(process.pid)
            values[f"{name}_pss_mib"] = running.memory_full_info().pss / MIB
            values[f"{name}_files"] = running.num_fds()
        except psutil.NoSuchProcess:
            pass  # just killed
    return values


def count_open_files(gateway: Gateway) -> dict[str, int]:
    """Return the number of open files of each running process."""
    return {
        name: psutil.Process(process.popen.pid).num_fds()
        for name, process in gateway.processes.items()
        if process.popen
    }


def count_connections(gateway: Gateway) -> int:
    """Return the number of client connections of the process that clients connect to."""
    connections = psutil.Process(gateway.front.pid).net_connections("tcp")
    port = int(gateway.url.rpartition(":")[2])
    return sum(
        connection.laddr.port == port and connection.status != psutil.CONN_LISTEN for connection in connections
    )


def find_failures(record: Record, frame: pd.DataFrame) -> list[str]:
    """Return the promises that the soak broke: wrong answers, memory that grows, files that stay open."""
    failures = list(record.errors[:20])
    settled = frame[frame["second"] > SETTLE_MINUTES * 60]
    for column in frame.columns:
        series = settled[["second", column]].dropna()
        if column.endswith("_pss_mib") and not record.faults and len(series) > 60:
            slope = float(np.polyfit(series["second"] / 60, series[column], 1)[0])
            print(f"{column}: {slope:+.3f} MiB a minute after minute {SETTLE_MINUTES:.0f}")
            if slope >= MAX_MIB_PER_MIN:
                failures.append(f"{column} grows by {slope:.2f} MiB a minute")
    for name, before in record.files_before.items():
        after = record.files_after[name]
        print(f"{name}: {before} open files before, {after} after")
        if after > before + MAX_EXTRA_FILES:
            failures.append(f"{name} keeps {after - before} files open")
    return failures
