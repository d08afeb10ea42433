"""CPU pinning: one set of cores for the server, another for the driver and the sampler."""

from __future__ import annotations

import math
import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from bench.errors import BenchError
from bench.machine import cgroup, topology
from bench.machine.core_lists import render
from bench.machine.topology import Topology

ALONE = Topology({}, {})
INSTEAD = (
    "What this machine can do: `make quality`, `make contract`, and a campaign against a server on another machine "
    "(`python -m bench run --target http://host:port`)."
)


@dataclass(frozen=True)
class Pinning:
    """
    The cores of server and driver. Both are empty tuples on a system without CPU affinity.

    `idle` are cores that nothing is pinned to: siblings of used ones, and those above the CPU quota.
    """

    server: tuple[int, ...]
    driver: tuple[int, ...]
    idle: tuple[int, ...] = ()

    @property
    def disjoint(self) -> bool:
        """Whether both sets hold a core and share none."""
        return bool(self.server) and bool(self.driver) and not set(self.server) & set(self.driver)


def available() -> tuple[int, ...]:
    """Return the cores that this process may use, ascending; () on a system without CPU affinity."""
    return tuple(sorted(os.sched_getaffinity(0))) if hasattr(os, "sched_getaffinity") else ()


def usable() -> int:
    """Return the number of cores that this process may keep busy: its affinity, cut by its CPU quota."""
    quota = cgroup.quota()
    number = len(available()) or os.cpu_count() or 1
    return number if quota is None else max(1, min(number, math.ceil(quota)))


def choose(server: tuple[int, ...] | None = None) -> Pinning:
    """Return the division of this machine's cores; `server` overrides the server's set."""
    return split(available(), server, topology.read(), cgroup.quota())


def split(
    cores: tuple[int, ...],
    server: tuple[int, ...] | None = None,
    machine: Topology = ALONE,
    quota: float | None = None,
) -> Pinning:
    """
    Divide `cores` between driver and server.

    One CPU of each physical core is used. The driver gets the first core, or the first two of eight or more; the
    server gets the rest. Of two kinds of cores the server gets the fast ones only, and the driver slow ones. A CPU
    quota limits the number of both together. `server` overrides the server's set, and the driver then gets physical
    cores without one of them. A single core is shared, which `check` refuses.
    """
    groups = machine.physical(cores)
    if server is not None:
        driver = tuple(group[0] for group in groups if not set(group) & set(server))
        return _with_idle(cores, server, driver)
    fast = [group[0] for group in groups if group[0] not in machine.slow]
    slow = [group[0] for group in groups if group[0] in machine.slow]
    allowed = len(groups) if quota is None else min(len(groups), int(quota))
    drivers = 2 if allowed >= 8 else 1
    if fast and slow and allowed >= 2:
        return _with_idle(cores, tuple(fast[: allowed - drivers]), tuple(slow[:drivers]))
    used = sorted((fast or slow)[:allowed])
    if len(used) < 2:
        return _with_idle(cores, tuple(used or cores), tuple(used or cores))
    return _with_idle(cores, tuple(used[drivers:]), tuple(used[:drivers]))


def _with_idle(cores: tuple[int, ...], server: tuple[int, ...], driver: tuple[int, ...]) -> Pinning:
    return Pinning(server, driver, tuple(core for core in cores if core not in {*server, *driver}))


def describe(pinning: Pinning, held: bool) -> str:
    """Return a sentence that says which cores do what; `held` says that a cpuset holds the server on its own."""
    parts = [f"server on {render(pinning.server)}", f"load on {render(pinning.driver)}"]
    parts += [f"idle: {render(pinning.idle)} (siblings, slow cores or above the quota)"] if pinning.idle else []
    quota = cgroup.quota()
    parts += [f"CPU quota {quota:g}"] if quota is not None else []
    parts += [
        "held by a cpuset" if held else "held by their affinity, which a server can change: E_CORES then refuses"
    ]
    return "cores: " + ", ".join(parts)


def check(pinning: Pinning) -> None:
    """Raise BenchError if server and driver cannot run on separate cores; it says why, and what can be done here."""
    if not pinning.disjoint:
        raise BenchError(f"nothing can be timed here: {_explain(pinning)}\n{INSTEAD}")


def _explain(pinning: Pinning) -> str:
    cores, quota = available(), cgroup.quota()
    if not cores:
        return (
            f"{platform.system()} cannot pin a process to cores, so the load would run on the server's cores. "
            "Use Linux, also in a container or a virtual machine, with 2 cores."
        )
    if len(cores) == 1:
        return (
            f"this process may use core {cores[0]} only (of {os.cpu_count()}), and server and load need one each. "
            "Start it without taskset, or in a container with --cpus=2 or more."
        )
    if quota is not None and quota < 2:
        return f"the cgroup's quota is {quota:g} CPUs, and server and load need one each. Use --cpus=2 or more."
    if not pinning.server or not pinning.driver:
        return f"--server-cores {render(pinning.server)} leaves no physical core for the load."
    return "all its CPUs are siblings on one physical core, where load and server slow each other down."


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
