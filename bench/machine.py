"""What the machine is: enough to compare campaigns, nothing that names it."""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import psutil

CPUINFO = Path("/proc/cpuinfo")
# Flag of /proc/cpuinfo -> how a folder name says it, the most telling first.
VECTORS = {"amx_int8": "amx", "avx512_vnni": "avx512vnni", "avx512f": "avx512", "avx2": "avx2", "asimddp": "dotprod"}
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def describe() -> dict[str, Any]:
    """CPU, cores, memory, kernel, governor and Python; None where the system does not tell."""
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
    }


def cpu_name() -> str:
    """The processor as the system names it."""
    return _cpuinfo("model name") or platform.processor() or platform.machine()


def slug(cpu: str, flags: Collection[str], cores: int) -> str:
    """
    A folder name for the machine: maker and model of the CPU, its widest vectors, and cores; never its host name.

    "AMD EPYC 7B13 64-Core Processor" with AVX2 and 8 cores is `amd-epyc-7b13-avx2-8c`. A virtual machine may hide the
    model, so that the vectors alone tell two generations apart; int8 is twice as fast on one of them.
    """
    words = re.sub(r"\((r|tm)\)|@.*|\bcpu\b|\bprocessor\b|\d+-core", " ", cpu.lower())
    vectors = [name for flag, name in VECTORS.items() if flag in flags][:1]
    return "-".join([*re.findall(r"[a-z0-9]+", words)[:5], *vectors, f"{cores}c"])


def _cpuinfo(name: str) -> str:
    if not CPUINFO.exists():
        return ""
    match = re.search(rf"^{name}\s*:\s*(.*)$", CPUINFO.read_text(), re.MULTILINE)
    return match[1].strip() if match else ""
