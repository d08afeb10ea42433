"""runs.csv: one row per cell and replicate, every column always there, empty rather than zero."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

Key = tuple[str, str, str, str, str]


@dataclass
class Row:
    """
    One measurement. The fields are the columns of runs.csv, in this order; the unit is in the name.

    `replicate` counts the repeats of a cell within its block (starts of `cold`); `codes` are joined by spaces;
    `rss_roles_mib` is role=MiB pairs, steady, joined by spaces. Memory columns are sums over the roles.
    """

    block: int
    replicate: int
    seed: int
    target: str
    peer: bool
    ranked: bool
    precision: str
    scenario: str
    route: str = ""
    concurrency: int | None = None
    client: str = ""
    started_utc: str = ""
    requests: int | None = None
    validated: int | None = None
    errors: int | None = None
    empties: int | None = None
    duration_s: float | None = None
    rps: float | None = None
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    mean_ms: float | None = None
    cpu_ms_per_req: float | None = None
    server_cores: float | None = None
    driver_cpu: float | None = None
    ceiling_rps: float | None = None
    rss_idle_mib: float | None = None
    rss_steady_mib: float | None = None
    rss_peak_mib: float | None = None
    pss_mib: float | None = None
    uss_mib: float | None = None
    rss_roles_mib: str = ""
    forwards: float | None = None
    checked: int | None = None
    agreed: int | None = None
    steal: float | None = None
    foreign_cores: float | None = None
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
    listening_s: float | None = None
    ready_s: float | None = None
    first_answer_s: float | None = None
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
    parts = (row["block"], row["target"], row["scenario"], row["route"], row["concurrency"])
    return tuple("" if part is None else str(part) for part in parts)  # type: ignore[return-value]


class Runs:
    """The file, appended to and flushed after every row, so that what is done is kept."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.keys: set[Key] = set()
        if file.exists():
            self.keys = {key_of(row) for row in read(file)}
        else:
            self._append([COLUMNS])

    def add(self, rows: Iterable[Row]) -> None:
        """Append rows."""
        kept = list(rows)
        self._append([_text(value) for value in asdict(row).values()] for row in kept)
        self.keys |= {row.key for row in kept}

    def _append(self, lines: Iterable[list[str]]) -> None:
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
