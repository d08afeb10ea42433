"""
Memory and CPU of every role's process tree, sampled during a window, and CPU of the whole machine.

A value is None if the system does not let the harness read one of the processes, as those of another user.
"""

from __future__ import annotations

import statistics
import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from bench.machine import cgroup
from bench.targets.processes import Process, Server

INTERVAL_S = 0.25
MIB = 1024 * 1024


@dataclass(frozen=True)
class Memory:
    """Memory of one role in MiB: resident, proportional and unique set size. None for a value that is unreadable."""

    rss: float | None
    pss: float | None
    uss: float | None


@dataclass
class Usage:
    """
    Usage in a window, by role: RSS samples in MiB, and CPU seconds between start and end.

    `cpu_s` is empty, and `cpu_readable` is False, if the CPU seconds of one role are unreadable. `throttled` counts
    the scheduler periods in which the CPU quota of the harness's cgroup, which holds the server too, stopped it.
    """

    rss: dict[str, list[float]] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)
    cpu_readable: bool = True
    throttled: int = 0

    def steady(self) -> dict[str, float | None]:
        """Return the median RSS of each role, None without a sample."""
        return {role: statistics.median(samples) if samples else None for role, samples in self.rss.items()}

    def peak(self) -> dict[str, float | None]:
        """Return the maximum RSS of each role, None without a sample."""
        return {role: max(samples, default=None) for role, samples in self.rss.items()}


class Sampler:
    """Samples a server in a thread on the driver's cores, between `start` and `stop`."""

    def __init__(self, server: Server) -> None:
        self._processes = server.processes
        self._usage = Usage(rss={process.role.name: [] for process in server.processes})
        self._before: dict[str, float | None] = {}
        self._throttled_before = 0
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="sampler", daemon=True)

    def start(self) -> None:
        """Read the CPU counters and start sampling."""
        self._throttled_before = cgroup.throttled()
        self._before = cpu_seconds(self._processes)
        self._thread.start()

    def stop(self) -> Usage:
        """Stop sampling; return the usage since `start`."""
        after = cpu_seconds(self._processes)
        self._usage.throttled = cgroup.throttled() - self._throttled_before
        self._done.set()
        self._thread.join()
        spent_s = {role: _subtract(after[role], before_s) for role, before_s in self._before.items()}
        readable = {role: value_s for role, value_s in spent_s.items() if value_s is not None}
        self._usage.cpu_readable = len(readable) == len(spent_s)
        self._usage.cpu_s = readable if self._usage.cpu_readable else {}
        return self._usage

    def _sample(self) -> None:
        while True:
            for process in self._processes:
                if (resident_mib := rss(process)) is not None:
                    self._usage.rss[process.role.name].append(resident_mib)
            if self._done.wait(INTERVAL_S):
                return


def rss(process: Process) -> float | None:
    """Return the resident MiB of a role's process tree."""
    resident_bytes = _total(process.tree(), lambda member: member.memory_info().rss)
    return None if resident_bytes is None else resident_bytes / MIB


def memory(server: Server) -> dict[str, Memory]:
    """Return RSS, PSS and USS by role. Do not call it inside a window: reading smaps_rollup pauses the process."""
    return {process.role.name: _read_memory(process) for process in server.processes}


def total(values: Iterable[float | None]) -> float | None:
    """Return the sum of the roles' values, None if one of them is None: a part of a sum would mislead."""
    known = list(values)
    return None if None in known else sum(value for value in known if value is not None)


def _read_memory(process: Process) -> Memory:
    pss_mib = uss_mib = 0.0
    try:
        for member in process.tree():
            with suppress(psutil.NoSuchProcess):
                full = member.memory_full_info()
                pss_mib += getattr(full, "pss", 0) / MIB
                uss_mib += full.uss / MIB
    except psutil.AccessDenied:  # Linux shows the resident size of any process, and the rest to its user only
        return Memory(rss(process), None, None)
    return Memory(rss(process), pss_mib, uss_mib)


def cpu_seconds(processes: list[Process]) -> dict[str, float | None]:
    """Return the CPU seconds of each role's process tree so far, with those of its ended children."""
    return {process.role.name: _total(process.tree(), _cpu_s) for process in processes}


def _cpu_s(member: psutil.Process) -> float:
    times = member.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def _total(members: Iterable[psutil.Process], read: Callable[[psutil.Process], float]) -> float | None:
    """Return the sum over the members that are alive, None if one is unreadable."""
    value = 0.0
    try:
        for member in members:
            with suppress(psutil.NoSuchProcess):
                value += read(member)
    except psutil.AccessDenied:
        return None
    return value


def _subtract(after: float | None, before: float | None) -> float | None:
    return None if after is None or before is None else after - before


@dataclass(frozen=True)
class SystemCpu:
    """Counters of the whole machine: CPU seconds busy and stolen, and MiB swapped in or out."""

    busy: float
    stolen: float
    swapped_mib: float

    @classmethod
    def now(cls) -> SystemCpu:
        """Read the counters."""
        times = psutil.cpu_times()
        waiting = times.idle + getattr(times, "iowait", 0.0)
        stolen = getattr(times, "steal", 0.0)
        swap = psutil.swap_memory()
        return cls(busy=sum(times[:8]) - waiting - stolen, stolen=stolen, swapped_mib=(swap.sin + swap.sout) / MIB)

    def interference(self, before: SystemCpu, own_s: float, wall_s: float) -> Interference:
        """
        Return the CPU that the host and other processes took since `before`, in cores.

        `own_s` are the CPU seconds of the target, the load generator and the harness.
        """
        return Interference(
            steal=(self.stolen - before.stolen) / wall_s,
            foreign_cores=max(0.0, (self.busy - before.busy - own_s) / wall_s),
        )


@dataclass(frozen=True)
class Interference:
    """CPU in cores that a window lost to the host (`steal`), or that other processes used."""

    steal: float
    foreign_cores: float
