"""What the machine is: enough to compare campaigns, nothing that names it."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path
from typing import Any

import psutil

CPUINFO = Path("/proc/cpuinfo")
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


def slug(cpu: str, cores: int) -> str:
    """
    A folder name for the machine: maker and model of the CPU, and cores; never its host name.

    "AMD EPYC 7B13 64-Core Processor" with 8 cores is `amd-epyc-7b13-8c`.
    """
    words = re.sub(r"\((r|tm)\)|@.*|\bcpu\b|\bprocessor\b|\d+-core", " ", cpu.lower())
    return "-".join([*re.findall(r"[a-z0-9]+", words)[:5], f"{cores}c"])


def _cpuinfo(name: str) -> str:
    if not CPUINFO.exists():
        return ""
    match = re.search(rf"^{name}\s*:\s*(.*)$", CPUINFO.read_text(), re.MULTILINE)
    return match[1].strip() if match else ""
