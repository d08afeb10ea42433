"""Lists of CPUs as Linux writes them: `0-3,8`."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import groupby


def parse(text: str) -> tuple[int, ...]:
    """Parse a list of cores: `1-3,5` is (1, 2, 3, 5)."""
    cores: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        cores.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(cores))


def render(cores: Iterable[int]) -> str:
    """Return the list of cores: (1, 2, 3, 5) is `1-3,5`."""
    runs = groupby(enumerate(sorted(cores)), key=lambda place: place[1] - place[0])
    ends = [[core for _, core in run] for _, run in runs]
    return ",".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in ends)
