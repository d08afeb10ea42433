"""Facts of the machine: enough to compare campaigns, and no host name."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
from collections.abc import Collection, Sequence
from functools import cache
from math import inf
from pathlib import Path
from typing import Any

import psutil

from bench.machine import arm, cgroup, cores, gpu, topology

SYSTEM = Path("/")
# Flag of /proc/cpuinfo -> its word in a folder name, the fastest unit for int8 first.
VECTORS = {
    "amx_int8": "amx",
    "avx512_vnni": "avx512vnni",
    "avx512f": "avx512",
    "avx2": "avx2",
    "i8mm": "i8mm",
    "asimddp": "dotprod",
}
GOVERNOR = Path("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor")


def describe() -> dict[str, Any]:
    """Return CPU, cores, memory, kernel, governor, Python and GPUs as JSON; None for a fact that is not available."""
    return {
        "cpu": cpu_name(),
        "cpu_flags": cpu_flags(),
        "cores": os.cpu_count(),
        "usable_cores": cores.usable(),
        "cpu_quota": cgroup.quota(),
        "topology": topology.read().describe(),
        "memory_gib": round(min(cgroup.memory_gib() or inf, psutil.virtual_memory().total / 2**30), 1),
        "swap_gib": round(psutil.swap_memory().total / 2**30, 1),
        "virtual": "hypervisor" in cpu_flags() if platform.machine() == "x86_64" else None,
        "system": platform.system(),
        "kernel": platform.release(),
        "architecture": platform.machine(),
        "libc": "-".join(platform.libc_ver()),
        "governor": GOVERNOR.read_text().strip() if GOVERNOR.exists() else None,
        "python": platform.python_version(),
        "gpus": [card.describe() for card in gpu.cards()],
    }


@cache
def cpu_name(system: Path = SYSTEM) -> str:
    """
    Return the processor's name. `system` is the folder with its proc and sys.

    Linux has names of x86 processors only. Of an ARM processor it has the numbers of maker and part. `arm` names the
    common ones, "Neoverse-N1" for example, and lscpu many more. Of others the numbers are the name: "ARM 0x41 part
    0xd99".
    """
    maker, part = _cpuinfo(system, "CPU implementer"), _cpuinfo(system, "CPU part")
    name = _cpuinfo(system, "model name") or arm.name_of(maker, part, system) or _lscpu(system, "Model name")
    numbers = f"ARM {maker} part {part}" if maker and part else ""
    return name or numbers or platform.processor() or platform.machine()


def cpu_flags(system: Path = SYSTEM) -> list[str]:
    """Return the processor's features as Linux calls them, [] elsewhere."""
    return (_cpuinfo(system, "flags") or _cpuinfo(system, "Features")).split()


def folder(devices: Sequence[str] = ()) -> str:
    """Return the name of this machine's folder. It ends with the GPU's name if one of `devices` is a GPU here."""
    card = next((card for device in devices if (card := gpu.card_of(device))), None)
    return _folder(card.name if card else "")


def folders() -> list[str]:
    """Return every possible folder name of this machine: without a GPU, and with each of its GPUs."""
    return [_folder(name) for name in dict.fromkeys(["", *(card.name for card in gpu.cards())])]


def _folder(card: str) -> str:
    return slug(cpu_name(), cpu_flags(), cores.usable(), card)


def slug(cpu: str, flags: Collection[str], number: int, card: str = "") -> str:
    """
    Return a folder name: CPU maker and model, widest vector unit, `number` of usable cores, and the GPU if one was
    used.

    "AMD EPYC 7B13 64-Core Processor" with AVX2 and 8 cores is `amd-epyc-7b13-avx2-8c`. A virtual machine may hide the
    CPU model. The vector unit then distinguishes two CPU generations, one of which is twice as fast in int8. The GPU
    "NVIDIA H100 80GB HBM3" adds `-h100-80gb-hbm3`.
    """
    words = re.sub(r"\((r|tm)\)|@.*|\bcpu\b|\bprocessor\b|\d+-core", " ", cpu.lower())
    vectors = [name for flag, name in VECTORS.items() if flag in flags][:1]
    model = re.findall(r"[a-z0-9]+", re.sub(r"\bnvidia\b", " ", card.lower()))[:5]
    return "-".join([*re.findall(r"[a-z0-9]+", words)[:5], *vectors, f"{number}c", *model])


def _cpuinfo(system: Path, name: str) -> str:
    file = system / "proc" / "cpuinfo"
    return _find_value(file.read_text(), name) if file.exists() else ""


def _lscpu(system: Path, name: str) -> str:
    """Return a value of lscpu, "" without the program or the value."""
    program = shutil.which("lscpu")
    if not program:
        return ""
    command = [program] if system == SYSTEM else [program, "--sysroot", str(system)]
    environ = {**os.environ, "LC_ALL": "C"}
    output = subprocess.run(command, capture_output=True, text=True, check=False, env=environ).stdout  # noqa: S603 lscpu
    return _find_value(output, name).strip("-")  # it writes a dash for a processor that it does not know


def _find_value(text: str, name: str) -> str:
    match = re.search(rf"^{name}[ \t]*:[ \t]*(.*)$", text, re.MULTILINE)
    return match[1].strip() if match else ""
