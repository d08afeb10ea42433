"""Memory and CPU of every role's process tree, while it works."""

from __future__ import annotations

import statistics
import threading
from contextlib import suppress
from dataclasses import dataclass, field

import psutil

from bench.processes import Process, Running

INTERVAL_S = 0.25
MIB = 1024 * 1024


@dataclass(frozen=True)
class Memory:
    """MiB of one role: resident, proportional and unique set size."""

    rss: float
    pss: float
    uss: float


@dataclass
class Usage:
    """What a window saw, by role: RSS samples in MiB, and CPU seconds spent between start and end."""

    rss: dict[str, list[float]] = field(default_factory=dict)
    cpu_s: dict[str, float] = field(default_factory=dict)

    def steady(self) -> dict[str, float]:
        """Median RSS per role."""
        return {role: statistics.median(samples) for role, samples in self.rss.items() if samples}

    def peak(self) -> dict[str, float]:
        """Largest RSS per role."""
        return {role: max(samples) for role, samples in self.rss.items() if samples}


class Sampler:
    """Watches a running target from a thread on the driver's cores, between `start` and `stop`."""

    def __init__(self, running: Running) -> None:
        self._processes = running.processes
        self._usage = Usage(rss={process.role.name: [] for process in running.processes})
        self._before: dict[str, float] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="sampler", daemon=True)

    def start(self) -> None:
        """Begin: the CPU counters are read once here."""
        self._before = cpu_seconds(self._processes)
        self._thread.start()

    def stop(self) -> Usage:
        """End, and say what was used since `start`."""
        after = cpu_seconds(self._processes)
        self._done.set()
        self._thread.join()
        self._usage.cpu_s = {role: after[role] - before for role, before in self._before.items()}
        return self._usage

    def _watch(self) -> None:
        while True:
            for process in self._processes:
                self._usage.rss[process.role.name].append(rss(process))
            if self._done.wait(INTERVAL_S):
                return


def rss(process: Process) -> float:
    """Resident MiB of a role's process tree."""
    total = 0
    for member in process.tree():
        with suppress(psutil.NoSuchProcess):
            total += member.memory_info().rss
    return total / MIB


def memory(running: Running) -> dict[str, Memory]:
    """RSS, PSS and USS by role; reads smaps_rollup, which stops the process for a moment: not inside a window."""
    return {process.role.name: _memory(process) for process in running.processes}


def _memory(process: Process) -> Memory:
    totals = [0, 0, 0]
    for member in process.tree():
        with suppress(psutil.NoSuchProcess):
            full = member.memory_full_info()
            for i, value in enumerate((full.rss, getattr(full, "pss", 0), full.uss)):
                totals[i] += value
    return Memory(*(total / MIB for total in totals))


def cpu_seconds(processes: list[Process]) -> dict[str, float]:
    """CPU seconds of each role's tree so far, those of its ended children too."""
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
    """CPU seconds of the whole machine so far, and MiB that went to its swap or came back."""

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
