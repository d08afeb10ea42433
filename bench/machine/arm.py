"""The names of common ARM server cores, which /proc/cpuinfo gives as numbers of maker and part."""

from __future__ import annotations

from pathlib import Path

CORES = {
    ("0x41", "0xd08"): "Cortex-A72",
    ("0x41", "0xd0b"): "Cortex-A76",
    ("0x41", "0xd0c"): "Neoverse-N1",
    ("0x41", "0xd40"): "Neoverse-V1",
    ("0x41", "0xd49"): "Neoverse-N2",
    ("0x41", "0xd4f"): "Neoverse-V2",
    ("0x41", "0xd84"): "Neoverse-V3",
    ("0x41", "0xd8e"): "Neoverse-N3",
    ("0x48", "0xd01"): "Kunpeng-920",
    ("0x6d", "0xd49"): "Azure-Cobalt-100",
    ("0xc0", "0xac3"): "Ampere-1",
    ("0xc0", "0xac4"): "Ampere-1a",
}
# The same core is in processors of several makers, which differ in clock and cache. This one names itself in its DMI.
EC2 = {"Neoverse-N1": "AWS Graviton2", "Neoverse-V1": "AWS Graviton3", "Neoverse-V2": "AWS Graviton4"}
VENDOR = "sys/devices/virtual/dmi/id/sys_vendor"


def name_of(maker: str, part: str, system: Path) -> str:
    """Return the name of a core, that of the processor on EC2; "" for one that the table lacks."""
    core = CORES.get((maker, part), "")
    file = system / VENDOR
    vendor = file.read_text().strip() if file.exists() else ""
    return f"{EC2[core]} {core}" if vendor == "Amazon EC2" and core in EC2 else core
