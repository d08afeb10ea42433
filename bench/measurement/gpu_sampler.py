"""GPU usage of a target in a window: memory, utilization, power, energy, and throttling."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.machine import gpu
from bench.machine.device_names import is_gpu
from bench.targets.processes import Server

INTERVAL_S = 0.2  # close to NVML's own sample period of at least 1/6 s
# A CUDA context alone takes more memory than this; other fluctuations of the card's memory are smaller.
MIN_CONTEXT_MIB = 64.0


@dataclass(frozen=True)
class Sample:
    """The state of a card at `at_s` (perf_counter). A value is None if the card does not report it."""

    at_s: float
    used_mib: float | None
    mib_by_pid: Mapping[int, float]
    utilization_percent: float | None
    power_w: float | None
    reasons: int

    @classmethod
    def take(cls, card: gpu.Card) -> Sample:
        """Read the card's state now."""
        return cls(
            at_s=time.perf_counter(),
            used_mib=card.used_mib(),
            mib_by_pid=card.mib_by_pid(),
            utilization_percent=card.utilization_percent(),
            power_w=card.power_w(),
            reasons=card.reasons(),
        )


@dataclass(frozen=True)
class GpuUsage:
    """
    GPU usage in a window: maximum memory, mean utilization and power, energy, and throttle reasons.

    `foreign` are the ids of other processes that computed on the card. It is empty if the target's own processes are
    not visible.
    """

    mem_mib: float | None
    utilization_percent: float | None
    power_w: float | None
    energy_j: float | None
    throttled: tuple[str, ...]
    foreign: tuple[int, ...]


class GpuSampler:
    """Samples a server's card in a thread between `start` and `stop`; does nothing without a card."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self._card = server.card
        self._samples: list[Sample] = []
        self._energy_j: float | None = None
        self._own_pids: set[int] = set()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._sample, name="gpu sampler", daemon=True)

    def start(self) -> None:
        """Read the energy counter and start sampling."""
        if self._card is not None:
            self._own_pids = self._list_pids()
            self._energy_j = self._card.energy_j()
            self._thread.start()

    def stop(self) -> GpuUsage | None:
        """Stop sampling; return the usage since `start`, None if the target does not run on a card."""
        if self._card is None:
            return None
        energy_j = _subtract(self._energy_j, self._card.energy_j())
        self._done.set()
        self._thread.join()
        server = self._server
        on_card = is_gpu(server.target.device)
        own_pids = self._own_pids | self._list_pids()
        return summarise_samples(self._samples, own_pids, server.card_mib, energy_j, on_card=on_card)

    def _sample(self) -> None:
        assert self._card is not None  # noqa: S101  (else the thread is not started)
        ended = False
        while not ended:
            self._samples.append(Sample.take(self._card))
            ended = self._done.wait(INTERVAL_S)
        self._samples.append(Sample.take(self._card))

    def _list_pids(self) -> set[int]:
        return {member.pid for process in self._server.processes for member in process.tree()}


def summarise_samples(
    samples: Sequence[Sample],
    own_pids: Collection[int],
    before_mib: float | None,
    energy_j: float | None,
    *,
    on_card: bool = True,
) -> GpuUsage | None:
    """
    Summarise the samples of a window, which are in order of time.

    `own_pids` are the target's processes, `before_mib` the card's memory in use before they started, `energy_j` the
    difference of the energy counter. `on_card=False` means that the target may run elsewhere, as with `auto`. The
    result is then None unless its processes compute on the card, or the card's memory has grown.
    """
    visible = any(pid in own_pids for sample in samples for pid in sample.mib_by_pid)
    mem_mib = _max_memory(samples, own_pids, before_mib)
    if not on_card and not visible and (mem_mib or 0.0) < MIN_CONTEXT_MIB:
        return None
    bits = 0
    for sample in samples:
        bits |= sample.reasons
    foreign = {pid for sample in samples for pid in sample.mib_by_pid if pid not in own_pids} if visible else set()
    return GpuUsage(
        mem_mib=mem_mib,
        utilization_percent=_mean([sample.utilization_percent for sample in samples]),
        power_w=_mean([sample.power_w for sample in samples]),
        energy_j=_integrate_power(samples) if energy_j is None else energy_j,
        throttled=gpu.throttle_reasons(bits),
        foreign=tuple(sorted(foreign)),
    )


def row_columns(usage: GpuUsage, texts: int | None) -> dict[str, float | str | None]:
    """
    Return the `gpu_` columns of runs.csv.

    `texts` is the number of answered texts (a query is one); None if it is unknown, as for ingestion.
    """
    energy_j = usage.energy_j
    return {
        "gpu_mem_mib": usage.mem_mib,
        "gpu_util": usage.utilization_percent,
        "gpu_power_w": usage.power_w,
        "gpu_j_per_1k_texts": 1000 * energy_j / texts if energy_j is not None and texts else None,
        "gpu_throttled": " ".join(usage.throttled),
    }


def _max_memory(samples: Sequence[Sample], own_pids: Collection[int], before_mib: float | None) -> float | None:
    """
    Return the target's maximum MiB: of its own processes, else the growth of the whole card since `before_mib`.

    In a container the driver may hide the process ids, or report 0 MiB for each process.
    """
    own_mib = [sum(mib for pid, mib in sample.mib_by_pid.items() if pid in own_pids) for sample in samples]
    if max(own_mib, default=0.0) > 0:
        return max(own_mib)
    if before_mib is None:
        return None
    growth_mib = [sample.used_mib - before_mib for sample in samples if sample.used_mib is not None]
    return max(growth_mib) if max(growth_mib, default=0.0) > 0 else None


def _mean(values: Sequence[float | None]) -> float | None:
    numbers = [value for value in values if value is not None]
    return float(np.mean(numbers)) if numbers else None


def _subtract(before: float | None, after: float | None) -> float | None:
    """Return the increase of a counter; None without a counter, or if it was reset."""
    return None if before is None or after is None or after < before else after - before


def _integrate_power(samples: Sequence[Sample]) -> float | None:
    """Return the energy in joules, integrated from power samples; None with fewer than two."""
    points = [(sample.at_s, sample.power_w) for sample in samples if sample.power_w is not None]
    if len(points) < 2:
        return None
    at_s, power_w = np.array(points).T
    return float(np.trapezoid(power_w, at_s))
