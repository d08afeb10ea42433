"""What a window took of the card that a target runs on: memory, time, power, energy, and what held it back."""

from __future__ import annotations

import threading
import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench import gpu
from bench.devices import is_gpu
from bench.processes import Running

INTERVAL_S = 0.2  # about NVML's own: it samples every sixth of a second at the most
# A process that computes on a card holds more of it than this before its first tensor; what else moves holds less.
LEAST_MIB = 64.0


@dataclass(frozen=True)
class Sample:
    """A card at one moment, `at_s` of a clock that only goes on; None where the card does not tell."""

    at_s: float
    used_mib: float | None
    by_pid: Mapping[int, float]
    busy_percent: float | None
    power_w: float | None
    reasons: int

    @classmethod
    def of(cls, card: gpu.Card) -> Sample:
        """The card now."""
        return cls(
            at_s=time.perf_counter(),
            used_mib=card.used_mib(),
            by_pid=card.by_pid(),
            busy_percent=card.busy_percent(),
            power_w=card.power_w(),
            reasons=card.reasons(),
        )


@dataclass(frozen=True)
class Use:
    """
    What a window saw: the most memory in MiB, means of busy percent and watts, joules, and what held the card back.

    `foreign` are processes that computed on it and are not the target's; known only where the target's own are.
    """

    mem_mib: float | None
    busy_percent: float | None
    power_w: float | None
    energy_j: float | None
    throttled: tuple[str, ...]
    foreign: tuple[int, ...]


class Watch:
    """Samples the card of a running target from a thread, between `start` and `stop`; does nothing without a card."""

    def __init__(self, running: Running) -> None:
        self._running = running
        self._card = running.card
        self._samples: list[Sample] = []
        self._energy_j: float | None = None
        self._own: set[int] = set()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gpu watch", daemon=True)

    def start(self) -> None:
        """Begin: the energy counter is read once here."""
        if self._card is not None:
            self._own = self._pids()
            self._energy_j = self._card.energy_j()
            self._thread.start()

    def stop(self) -> Use | None:
        """End, and say what was used since `start`; None where the target does not run on a card."""
        if self._card is None:
            return None
        spent_j = _apart(self._energy_j, self._card.energy_j())
        self._done.set()
        self._thread.join()
        running = self._running
        sure = is_gpu(running.target.device)
        return use(self._samples, self._own | self._pids(), running.card_mib, spent_j, sure=sure)

    def _watch(self) -> None:
        assert self._card is not None  # noqa: S101  (else it is not started)
        ended = False
        while not ended:
            self._samples.append(Sample.of(self._card))
            ended = self._done.wait(INTERVAL_S)
        self._samples.append(Sample.of(self._card))

    def _pids(self) -> set[int]:
        return {member.pid for process in self._running.processes for member in process.tree()}


def use(
    samples: Sequence[Sample],
    own: Collection[int],
    before_mib: float | None,
    spent_j: float | None,
    *,
    sure: bool = True,
) -> Use | None:
    """
    What the samples of a window come to, in order of time.

    `own` are the target's processes, `before_mib` what was taken of the card before they started, `spent_j` the
    difference of the energy counter, where there is one. Not `sure` that the target runs on the card, as with `auto`:
    None unless its processes are among those that compute there, or the card's memory is fuller than it was.
    """
    matched = any(pid in own for sample in samples for pid in sample.by_pid)
    mem_mib = _memory(samples, own, before_mib)
    if not sure and not matched and (mem_mib or 0.0) < LEAST_MIB:
        return None
    bits = 0
    for sample in samples:
        bits |= sample.reasons
    others = {pid for sample in samples for pid in sample.by_pid if pid not in own} if matched else set()
    return Use(
        mem_mib=mem_mib,
        busy_percent=_mean([sample.busy_percent for sample in samples]),
        power_w=_mean([sample.power_w for sample in samples]),
        energy_j=_integrated(samples) if spent_j is None else spent_j,
        throttled=gpu.words(bits),
        foreign=tuple(sorted(others)),
    )


def columns(used: Use, texts: int | None) -> dict[str, float | str | None]:
    """
    The columns of runs.csv that a use fills.

    So many `texts` were answered, a query being one; None where their number is not known, as with what is ingested.
    """
    spent_j = used.energy_j
    return {
        "gpu_mem_mib": used.mem_mib,
        "gpu_util": used.busy_percent,
        "gpu_power_w": used.power_w,
        "gpu_j_per_1k_texts": 1000 * spent_j / texts if spent_j is not None and texts else None,
        "gpu_throttled": " ".join(used.throttled),
    }


def _memory(samples: Sequence[Sample], own: Collection[int], before_mib: float | None) -> float | None:
    """
    The most MiB that the target took: of its own processes, else what the whole card holds more than before.

    In a container no process may be known by its number, or each with a memory of nothing.
    """
    of_own = [sum(mib for pid, mib in sample.by_pid.items() if pid in own) for sample in samples]
    if max(of_own, default=0.0) > 0:
        return max(of_own)
    if before_mib is None:
        return None
    grown = [sample.used_mib - before_mib for sample in samples if sample.used_mib is not None]
    return max(grown) if max(grown, default=0.0) > 0 else None


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if known else None


def _apart(before: float | None, after: float | None) -> float | None:
    """What a counter counted; None where there is none, or where it began anew."""
    return None if before is None or after is None or after < before else after - before


def _integrated(samples: Sequence[Sample]) -> float | None:
    """Joules from watts over time, where no counter has them; the first and the last sample are the window's ends."""
    known = [(sample.at_s, sample.power_w) for sample in samples if sample.power_w is not None]
    if len(known) < 2:
        return None
    at_s, power_w = np.array(known).T
    return float(np.trapezoid(power_w, at_s))
