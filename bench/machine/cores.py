"""CPU pinning: one set of cores for the server, another for the driver and the sampler."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Pinning:
    """The cores of server and driver. Both are empty tuples on a system without CPU affinity."""

    server: tuple[int, ...]
    driver: tuple[int, ...]

    @property
    def disjoint(self) -> bool:
        """Whether both sets hold a core and share none."""
        return bool(self.server) and bool(self.driver) and not set(self.server) & set(self.driver)


def available() -> tuple[int, ...]:
    """Return the cores that this process may use, ascending; () on a system without CPU affinity."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


def split(cores: tuple[int, ...], server: tuple[int, ...] | None = None) -> Pinning:
    """
    Divide `cores` between driver and server.

    The driver gets the first core, or the first two of eight or more; the server gets the rest. `server` overrides
    the server's set. A single core is shared, and every window is then refused with E_PIN.
    """
    if server is not None:
        return Pinning(server, tuple(core for core in cores if core not in server))
    if len(cores) < 2:
        return Pinning(cores, cores)
    drivers = 2 if len(cores) >= 8 else 1
    return Pinning(cores[drivers:], cores[:drivers])


def parse(text: str) -> tuple[int, ...]:
    """Parse a list of cores: `1-3,5` is (1, 2, 3, 5)."""
    cores: set[int] = set()
    for part in text.split(","):
        first, _, last = part.partition("-")
        cores.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(cores))


def pin(cores: tuple[int, ...]) -> None:
    """Set the CPU affinity of this thread; processes that it starts inherit it."""
    if cores and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)


@contextmanager
def pinned(cores: tuple[int, ...]) -> Iterator[None]:
    """Set the CPU affinity of this thread within the block. A process started in it keeps the affinity."""
    before = available()
    pin(cores)
    try:
        yield
    finally:
        pin(before)
