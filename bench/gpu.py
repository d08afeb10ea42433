"""The NVIDIA cards of this machine, as NVML tells of them; none where there is no driver, which is never an error."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pynvml

MIB = 1024 * 1024
# What NVML says of clocks that are lower than asked for, in our words. An idle card's low clocks hold nobody back.
REASONS: Mapping[int, str] = {
    pynvml.nvmlClocksEventReasonApplicationsClocksSetting: "application_clocks",
    pynvml.nvmlClocksEventReasonSwPowerCap: "sw_power_cap",
    pynvml.nvmlClocksEventReasonHwSlowdown: "hw_slowdown",
    pynvml.nvmlClocksEventReasonSyncBoost: "sync_boost",
    pynvml.nvmlClocksEventReasonSwThermalSlowdown: "sw_thermal",
    pynvml.nvmlClocksEventReasonHwThermalSlowdown: "hw_thermal",
    pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown: "hw_power_brake",
    pynvml.nvmlClocksEventReasonDisplayClockSetting: "display_clocks",
    0x200: "board_limit",  # these two have names in the newest bindings only
    0x400: "reliability",
}
IDLE = pynvml.nvmlClocksEventReasonGpuIdle


@dataclass(frozen=True)
class Card:
    """One card. Each question gives None where the card or its driver cannot answer it."""

    handle: Any
    name: str
    uuid: str

    def used_mib(self) -> float | None:
        """MiB of its memory that are taken, by whomever."""
        memory = _told("nvmlDeviceGetMemoryInfo", self.handle)
        return None if memory is None else memory.used / MIB

    def by_pid(self) -> dict[int, float]:
        """
        The processes that compute on it, with their MiB; 0.0 where the driver does not tell these.

        In a container their numbers may be those of the host, which say nothing here.
        """
        listed = _told("nvmlDeviceGetComputeRunningProcesses", self.handle) or []
        return {int(process.pid): (process.usedGpuMemory or 0) / MIB for process in listed}

    def busy_percent(self) -> float | None:
        """Percent of its last sample period (1/6 s to 1 s) in which it computed anything at all."""
        rates = _told("nvmlDeviceGetUtilizationRates", self.handle)
        return None if rates is None else float(rates.gpu)

    def power_w(self) -> float | None:
        """Watts it takes now; on most cards since Ampere the mean of the last second."""
        milliwatts = _told("nvmlDeviceGetPowerUsage", self.handle)
        return None if milliwatts is None else milliwatts / 1000

    def energy_j(self) -> float | None:
        """Joules since its driver was loaded: a counter, for differences; cards before Volta have none."""
        millijoules = _told("nvmlDeviceGetTotalEnergyConsumption", self.handle)
        return None if millijoules is None else millijoules / 1000

    def reasons(self) -> int:
        """Why its clocks are lower than asked for, as NVML's bits; 0 for no reason, or where it does not tell."""
        bits = _told("nvmlDeviceGetCurrentClocksEventReasons", self.handle)
        if bits is None:  # an older driver knows the question by its older name only
            bits = _told("nvmlDeviceGetCurrentClocksThrottleReasons", self.handle)
        return int(bits or 0)

    def described(self) -> dict[str, Any]:
        """What a manifest says of it; None for what is not told."""
        memory = _told("nvmlDeviceGetMemoryInfo", self.handle)
        limit_mw = _told("nvmlDeviceGetEnforcedPowerLimit", self.handle)
        cuda = _told("nvmlSystemGetCudaDriverVersion")
        return {
            "name": self.name,
            "memory_mib": None if memory is None else round(memory.total / MIB),
            "driver": _told("nvmlSystemGetDriverVersion"),
            "cuda_driver": None if cuda is None else cuda_version(cuda),
            "power_limit_w": None if limit_mw is None else limit_mw / 1000,
            "max_sm_mhz": _told("nvmlDeviceGetMaxClockInfo", self.handle, pynvml.NVML_CLOCK_SM),
        }


@cache
def cards() -> tuple[Card, ...]:
    """Every card that the driver shows, in the order of their PCI addresses; empty where there is no driver."""
    try:
        # Never shut down: where nothing else keeps the driver's state, each opening would wake the cards anew.
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return tuple(
            Card(handle, str(pynvml.nvmlDeviceGetName(handle)), str(pynvml.nvmlDeviceGetUUID(handle)))
            for handle in handles
        )
    except pynvml.NVMLError:
        return ()


def card_of(device: str) -> Card | None:
    """
    The card behind a device's word: the first for `cuda`, number N for `cuda:N`, of those that processes see here.

    For `auto` the first as well, which whoever serves may take or leave. None where there is no such card.
    """
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cuda"):
        return None
    known = cards()
    seen = visible([card.uuid for card in known], os.environ.get("CUDA_VISIBLE_DEVICES"))
    place = int(number or 0)
    return known[seen[place]] if place < len(seen) else None


def visible(uuids: Sequence[str], said: str | None) -> list[int]:
    """
    Which of the driver's cards a process sees, in its own order, by their places in `uuids`.

    `said` is CUDA_VISIBLE_DEVICES: numbers, or beginnings of UUIDs, by comma; None for all. As CUDA has it, the first
    word that is no card ends the list.
    """
    if said is None:
        return list(range(len(uuids)))
    seen: list[int] = []
    for word in map(str.strip, said.split(",")):
        named = [place for place, uuid in enumerate(uuids) if word and uuid.startswith(word)]
        places = [int(word)] if word.isdecimal() else named
        if len(places) != 1 or places[0] >= len(uuids):
            break
        seen += places
    return seen


def words(bits: int) -> tuple[str, ...]:
    """NVML's reasons as words, in the order of their bits; one that we have no word for is its number."""
    held_back = bits & ~IDLE
    single = (1 << place for place in range(held_back.bit_length()))
    return tuple(REASONS.get(bit, f"{bit:#x}") for bit in single if bit & held_back)


def cuda_version(number: int) -> str:
    """12040 is CUDA 12.4."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _told(question: str, *of: object) -> Any:
    try:
        return getattr(pynvml, question)(*of)
    except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError):
        return None
