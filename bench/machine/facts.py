"""Facts of the machine: enough to compare campaigns, and no host name."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import psutil

from bench.machine import gpu

CPUINFO = Path("/proc/cpuinfo")
# Flag of /proc/cpuinfo -> its word in a folder name, the widest vector unit first.
VECTORS = {"amx_int8": "amx", "avx512_vnni": "avx512vnni", "avx512f": "avx512", "avx2": "avx2", "asimddp": "dotprod"}
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def describe() -> dict[str, Any]:
    """Return CPU, cores, memory, kernel, governor, Python and GPUs as JSON; None for a fact that is not available."""
    return {
        "cpu": cpu_name(),
        "cpu_flags": _cpuinfo("flags").split(),
        "cores": os.cpu_count(),
        "memory_gib": round(psutil.virtual_memory().total / 2**30, 1),
        "swap_gib": round(psutil.swap_memory().total / 2**30, 1),
        "virtual": "hypervisor" in _cpuinfo("flags").split(),
        "system": platform.system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "libc": "-".join(platform.libc_ver()),
        "governor": GOVERNOR.read_text().strip() if GOVERNOR.exists() else None,
        "python": platform.python_version(),
        "gpus": [card.describe() for card in gpu.cards()],
    }


def cpu_name() -> str:
    """Return the processor's name from the system."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def folder(devices: Sequence[str] = ()) -> str:
    """Return the name of this machine's folder. It ends with the GPU's name if one of `devices` is a GPU here."""
    card = next((card for device in devices if (card := gpu.card_of(device))), None)
    return _folder(card.name if card else "")


def folders() -> list[str]:
    """Return every possible folder name of this machine: without a GPU, and with each of its GPUs."""
    return [_folder(name) for name in dict.fromkeys(["", *(card.name for card in gpu.cards())])]


def _folder(card: str) -> str:
    return slug(cpu_name(), _cpuinfo("flags").split(), os.cpu_count() or 1, card)


def slug(cpu: str, flags: Collection[str], cores: int, card: str = "") -> str:
    """
    Return a folder name: CPU maker and model, widest vector unit, number of cores, and the GPU if one was used.

    "AMD EPYC 7B13 64-Core Processor" with AVX2 and 8 cores is `amd-epyc-7b13-avx2-8c`. A virtual machine may hide the
    CPU model. The vector unit then distinguishes two CPU generations, one of which is twice as fast in int8. The GPU
    "NVIDIA H100 80GB HBM3" adds `-h100-80gb-hbm3`.
    """
    words = re.sub(r"\((r|tm)\)|@.*|\bcpu\b|\bprocessor\b|\d+-core", " ", cpu.lower())
    vectors = [name for flag, name in VECTORS.items() if flag in flags][:1]
    model = re.findall(r"[a-z0-9]+", re.sub(r"\bnvidia\b", " ", card.lower()))[:5]
    return "-".join([*re.findall(r"[a-z0-9]+", words)[:5], *vectors, f"{cores}c", *model])


def _cpuinfo(name: str) -> str:
    if not CPUINFO.exists():
        return ""
    match = re.search(rf"^{name}\s*:\s*(.*)$", CPUINFO.read_text(), re.MULTILINE)
    return match[1].strip() if match else ""
