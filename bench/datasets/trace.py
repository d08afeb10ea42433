"""
A log of requests as a workload: JSON Lines with `time` (seconds), `route`, and `text` or `tokens` (its length).

The order, the gaps and the lengths of the log are kept. The gaps are scaled to the rate that is offered.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from bench.datasets.mixes import NEEDS, PREFIX
from bench.errors import BenchError

ROUTE = PREFIX + "trace"
SLO_MS = 1000.0
F64 = NDArray[np.float64]


@dataclass(frozen=True)
class Entry:
    """One request of a log; `tokens` is the length of its text where the log has no text."""

    time_s: float
    route: str
    text: str = ""
    tokens: int = 0


@dataclass(frozen=True)
class Trace:
    """A log, in the order of time."""

    entries: tuple[Entry, ...]

    @property
    def needs(self) -> frozenset[str]:
        """The capabilities that a target needs for all requests."""
        return frozenset().union(*(NEEDS[entry.route] for entry in self.entries))

    def schedule_s(self, rate_rps: float, count: int) -> F64:
        """Return `count` arrivals at the mean rate, (count,): the gaps of the log, scaled, again and again."""
        times = np.array([entry.time_s for entry in self.entries])
        gaps = np.diff(times, prepend=times[0] - (times[-1] - times[0]) / max(1, len(times) - 1))
        arrivals = np.cumsum(np.resize(gaps, count))
        return np.asarray(arrivals * (count / rate_rps / arrivals[-1]))


def load(file: Path) -> Trace:
    """Return the log of a file. Raises BenchError that names the line and what is wrong."""
    try:
        lines = file.read_bytes().splitlines()
    except OSError as error:
        raise BenchError(f"--trace {file}: {error.strerror}") from error
    entries = sorted(_read(file.name, lines), key=lambda entry: entry.time_s)
    if len(entries) < 2 or entries[0].time_s == entries[-1].time_s:
        raise BenchError(f"{file.name}: a trace needs two requests at different times")
    return Trace(tuple(entries))


def _read(name: str, lines: list[bytes]) -> Iterator[Entry]:
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                yield _read_entry(orjson.loads(line))
            except (orjson.JSONDecodeError, ValueError) as error:
                raise BenchError(f"{name}, line {number}: {error}") from error


def _read_entry(fields: Any) -> Entry:
    """Return the entry of a line. Raises ValueError that names the field."""
    if not isinstance(fields, Mapping):
        raise ValueError("not an object with time, route, and text or tokens")
    time_s, route, text, tokens = (fields.get(name) for name in ("time", "route", "text", "tokens"))
    if not isinstance(time_s, int | float) or isinstance(time_s, bool):
        raise ValueError(f"`time` is a number of seconds, not {time_s!r}")
    if route not in NEEDS:
        raise ValueError(f"`route` is one of {', '.join(NEEDS)}, not {route!r}")
    if isinstance(text, str) and text.strip():
        return Entry(float(time_s), str(route), text)
    if not isinstance(tokens, int) or isinstance(tokens, bool) or tokens < 1:
        raise ValueError("needs `text`, or `tokens`, a length of at least 1")
    return Entry(float(time_s), str(route), tokens=tokens)
