"""Memory and CPU of every role's process tree, sampled during a window, and CPU of the whole machine."""

from __future__ import annotations

import statistics
import threading
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from bench.targets.processes import Process, Server

INTERVAL_S = 0.25
MIB = 1024 * 1024


@dataclass(frozen=True)
class Memory:
    """Memory of one role in MiB: resident, proportional and unique set size."""

    rss: float
    pss: float
    uss: float


@dataclass
class Usage:
    """Usage in a window, by role: RSS samples in MiB, and CPU seconds between start and end."""

    rss: dict[str, list[float]] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)

    def steady(self) -> dict[str, float]:
        """Return the median RSS of each role."""
        return {role: statistics.median(samples) for role, samples in self.rss.items() if samples}

    def peak(self) -> dict[str, float]:
        """Return the maximum RSS of each role."""
        return {role: max(samples) for role, samples in self.rss.items() if samples}


class Sampler:
    """Samples a server in a thread on the driver's cores, between `start` and `stop`."""

    def __init__(self, server: Server) -> None:
        self._processes = server.processes
        self._usage = Usage(rss={process.role.name: [] for process in server.processes})
        self._before: dict[str, float] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="sampler", daemon=True)

    def start(self) -> None:
        """Read the CPU counters and start sampling."""
        self._before = cpu_seconds(self._processes)
        self._thread.start()

    def stop(self) -> Usage:
        """Stop sampling; return the usage since `start`."""
        after = cpu_seconds(self._processes)
        self._done.set()
        self._thread.join()
        self._usage.cpu_s = {role: after[role] - before for role, before in self._before.items()}
        return self._usage

    def _sample(self) -> None:
        while True:
            for process in self._processes:
                self._usage.rss[process.role.name].append(rss(process))
            if self._done.wait(INTERVAL_S):
                return


def rss(process: Process) -> float:
    """Return the resident MiB of a role's process tree."""
    total = 0
    for member in process.tree():
        with suppress(psutil.NoSuchProcess):
            total += member.memory_info().rss
    return total / MIB


def memory(server: Server) -> dict[str, Memory]:
    """Return RSS, PSS and USS by role. Do not call it inside a window: reading smaps_rollup pauses the process."""
    return {process.role.name: _read_memory(process) for process in server.processes}


def _read_memory(process: Process) -> Memory:
    totals = [0, 0, 0]
    for member in process.tree():
        with suppress(psutil.NoSuchProcess):
            full = member.memory_full_info()
            for i, value in enumerate((full.rss, getattr(full, "pss", 0), full.uss)):
                totals[i] += value
    return Memory(*(total / MIB for total in totals))


def cpu_seconds(processes: list[Process]) -> dict[str, float]:
    """Return the CPU seconds of each role's process tree so far, with those of its ended children."""
    seconds: dict[str, float] = {}
    for process in processes:
        total = 0.0
        for member in process.tree():
            with suppress(psutil.NoSuchProcess):
                times = member.cpu_times()
                total += times.user + times.system
                total += times.children_user + times.children_system
        seconds[process.role.name] = total
    return seconds


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
