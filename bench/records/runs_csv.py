"""runs.csv: one row per cell and replicate. Every column is always present; a missing value is empty, never 0."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from pathlib import Path

from bench.errors import BenchError
from bench.records.drift import UsualSpeed
from bench.records.refusal_codes import refused
from bench.records.row import COLUMNS, KEY, Key, Row, key_of

__all__ = ["COLUMNS", "HEADLINE_CONCURRENCY", "KEY", "TWIN", "Key", "Row", "Runs", "capacity", "key_of", "read"]

LOOKS = ("drift_before", "drift_after")
# Suffix of the A/A twin: one target is measured twice, and the spread between the two is the noise band.
TWIN = "~twin"
# Requests in flight of the cell that headlines compare, where a campaign measured it.
HEADLINE_CONCURRENCY = 16


class Runs:
    """The open runs.csv of a campaign. Rows are appended and flushed at once, so that an interruption loses none."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.keys: set[Key] = set()
        self._capacity: dict[tuple[str, str], float] = {}
        self._looks: list[tuple[Key, list[float]]] = []
        if file.exists():
            self._index(self._read_same_columns())
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
        """Return the usual drift of the machine's speed since the campaign began; see `bench.records.drift`."""
        return UsualSpeed.of(self._looks).campaign

    def _read_same_columns(self) -> list[dict[str, str]]:
        """Return the rows; raises BenchError if a row of today would not fit below the file's header."""
        with self.file.open(newline="") as stream:
            if next(csv.reader(stream), []) != COLUMNS:
                raise BenchError(f"{self.file} has other columns, of another version: begin a new campaign")
        return read(self.file)

    def _index(self, lines: Iterable[dict[str, str]]) -> None:
        for line in lines:
            self.keys.add(key_of(line))
            looks = [float(line[name]) for name in LOOKS if line[name]]
            self._looks += [(key_of(line), looks)] if looks else []
            if _gives_capacity(line):
                cell = line["target"], line["route"]
                self._capacity[cell] = max(self._capacity.get(cell, 0.0), float(line["rps"]))

    def _append(self, lines: Iterable[Iterable[str]]) -> None:
        with self.file.open("a", newline="") as stream:
            csv.writer(stream, lineterminator="\n").writerows(lines)


def capacity(rows: Iterable[Mapping[str, str]], target: str, route: str) -> float | None:
    """Return the most requests per second in any sound closed-loop row of a target; None without such a row."""
    own = [row for row in rows if (row["target"], row["route"]) == (target, route) and _gives_capacity(row)]
    return max((float(row["rps"]) for row in own), default=None)


def _gives_capacity(row: Mapping[str, str]) -> bool:
    return row["scenario"] in ("closed", "mix") and bool(row["rps"]) and not refused(row["codes"].split())


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
