"""The NVIDIA GPUs of this machine, read through NVML. A machine without a driver has none, and that is no error."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import pynvml

MIB = 1024 * 1024
# NVML's bits for lowered clocks -> our names. The low clocks of an idle card are no throttling.
REASONS: Mapping[int, str] = {
    pynvml.nvmlClocksEventReasonApplicationsClocksSetting: "application_clocks",
    pynvml.nvmlClocksEventReasonSwPowerCap: "sw_power_cap",
    pynvml.nvmlClocksEventReasonHwSlowdown: "hw_slowdown",
    pynvml.nvmlClocksEventReasonSyncBoost: "sync_boost",
    pynvml.nvmlClocksEventReasonSwThermalSlowdown: "sw_thermal",
    pynvml.nvmlClocksEventReasonHwThermalSlowdown: "hw_thermal",
    pynvml.nvmlClocksEventReasonHwPowerBrakeSlowdown: "hw_power_brake",
    pynvml.nvmlClocksEventReasonDisplayClockSetting: "display_clocks",
    0x200: "board_limit",  # older bindings have no constant for these two
    0x400: "reliability",
}
IDLE = pynvml.nvmlClocksEventReasonGpuIdle


@dataclass(frozen=True)
class Card:
    """One GPU. A method returns None if the card or its driver does not report the value."""

    handle: Any
    name: str
    uuid: str

    def used_mib(self) -> float | None:
        """Return MiB of memory in use, by any process."""
        memory = _query_nvml("nvmlDeviceGetMemoryInfo", self.handle)
        return None if memory is None else memory.used / MIB

    def mib_by_pid(self) -> dict[int, float]:
        """
        Return the MiB of each process that computes on the card, by process id; 0.0 if the driver hides the size.

        In a container the ids may be those of the host, which match no process here.
        """
        listed = _query_nvml("nvmlDeviceGetComputeRunningProcesses", self.handle) or []
        return {int(process.pid): (process.usedGpuMemory or 0) / MIB for process in listed}

    def utilization_percent(self) -> float | None:
        """Return the percentage of the last sample period (1/6 s to 1 s) in which any kernel ran."""
        rates = _query_nvml("nvmlDeviceGetUtilizationRates", self.handle)
        return None if rates is None else float(rates.gpu)

    def power_w(self) -> float | None:
        """Return the power in watts; on most cards since Ampere it is the mean of the last second."""
        milliwatts = _query_nvml("nvmlDeviceGetPowerUsage", self.handle)
        return None if milliwatts is None else milliwatts / 1000

    def energy_j(self) -> float | None:
        """Return the energy counter in joules since the driver was loaded; None on cards before Volta."""
        millijoules = _query_nvml("nvmlDeviceGetTotalEnergyConsumption", self.handle)
        return None if millijoules is None else millijoules / 1000

    def reasons(self) -> int:
        """Return the reasons for lowered clocks as NVML's bits; 0 for no reason, or if not reported."""
        bits = _query_nvml("nvmlDeviceGetCurrentClocksEventReasons", self.handle)
        if bits is None:  # an older driver has only the older name of this function
            bits = _query_nvml("nvmlDeviceGetCurrentClocksThrottleReasons", self.handle)
        return int(bits or 0)

    def describe(self) -> dict[str, Any]:
        """Return the card's facts for a manifest; None for a fact that is not reported."""
        memory = _query_nvml("nvmlDeviceGetMemoryInfo", self.handle)
        limit_mw = _query_nvml("nvmlDeviceGetEnforcedPowerLimit", self.handle)
        cuda = _query_nvml("nvmlSystemGetCudaDriverVersion")
        return {
            "name": self.name,
            "memory_mib": None if memory is None else round(memory.total / MIB),
            "driver": _query_nvml("nvmlSystemGetDriverVersion"),
            "cuda_driver": None if cuda is None else cuda_version(cuda),
            "power_limit_w": None if limit_mw is None else limit_mw / 1000,
            "max_sm_mhz": _query_nvml("nvmlDeviceGetMaxClockInfo", self.handle, pynvml.NVML_CLOCK_SM),
        }


@cache
def cards() -> tuple[Card, ...]:
    """Return every card of the driver, by PCI address; () without a driver."""
    try:
        # Never call nvmlShutdown: without another client the driver would initialise the cards at each nvmlInit.
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
    Return the card of a device name: number N of the visible cards for `cuda:N`, the first for `cuda` and `auto`.

    A target on `auto` may or may not use the card. None if there is no such card.
    """
    kind, _, number = device.partition(":")
    if kind not in ("auto", "cuda"):
        return None
    all_cards = cards()
    visible = visible_cards([card.uuid for card in all_cards], os.environ.get("CUDA_VISIBLE_DEVICES"))
    index = int(number or 0)
    return all_cards[visible[index]] if index < len(visible) else None


def visible_cards(uuids: Sequence[str], cuda_visible_devices: str | None) -> list[int]:
    """
    Return the indices into `uuids` of the cards that CUDA_VISIBLE_DEVICES leaves visible, in its order.

    Its entries are indices or UUID prefixes, separated by commas; None means all cards. As in CUDA, the first entry
    that matches no card ends the list.
    """
    if cuda_visible_devices is None:
        return list(range(len(uuids)))
    visible: list[int] = []
    for word in map(str.strip, cuda_visible_devices.split(",")):
        by_prefix = [index for index, uuid in enumerate(uuids) if word and uuid.startswith(word)]
        matches = [int(word)] if word.isdecimal() else by_prefix
        if len(matches) != 1 or matches[0] >= len(uuids):
            break
        visible += matches
    return visible


def throttle_reasons(bits: int) -> tuple[str, ...]:
    """Return the names of NVML's reason bits, lowest bit first; a bit without a name is its hexadecimal number."""
    reasons = bits & ~IDLE
    single_bits = (1 << place for place in range(reasons.bit_length()))
    return tuple(REASONS.get(bit, f"{bit:#x}") for bit in single_bits if bit & reasons)


def cuda_version(number: int) -> str:
    """Return the version of the driver's number: 12040 is "12.4"."""
    return f"{number // 1000}.{number % 1000 // 10}"


def _query_nvml(function: str, *arguments: object) -> Any:
    try:
        return getattr(pynvml, function)(*arguments)
    except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError):
        return None
