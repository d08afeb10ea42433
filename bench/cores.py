"""Which cores the server gets and which the driver and the sampler: never the same where there are two."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Pinning:
    """Disjoint sets of cores; empty tuples where the system cannot pin."""

    server: tuple[int, ...]
    driver: tuple[int, ...]

    @property
    def apart(self) -> bool:
        """Whether server and driver have no core in common."""
        return bool(self.server) and bool(self.driver) and not set(self.server) & set(self.driver)


def available() -> tuple[int, ...]:
    """The cores this process may use; empty where the system does not say."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


def split(cores: tuple[int, ...], server: tuple[int, ...] | None = None) -> Pinning:
    """
    The first core drives (the first two from eight cores on), the others serve; or as `server` says.

    With one core both share it, and every cell says E_PIN.
    """
    if server is not None:
        return Pinning(server, tuple(core for core in cores if core not in server))
    if len(cores) < 2:
        return Pinning(cores, cores)
    drivers = 2 if len(cores) >= 8 else 1
    return Pinning(cores[drivers:], cores[:drivers])


def parse(text: str) -> tuple[int, ...]:
    """Read `1-3,5` as (1, 2, 3, 5)."""
    cores: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        cores.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(cores))


def pin(cores: tuple[int, ...]) -> None:
    """Keep this thread, and whatever it starts, on these cores."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


@contextmanager
def pinned(cores: tuple[int, ...]) -> Iterator[None]:
    """This thread on these cores for a while: a child process keeps what it was started with."""
    before = available()
    pin(cores)
    try:
        yield
    finally:
        pin(before)
