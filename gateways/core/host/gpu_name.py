"""The names of the NVIDIA GPUs of this machine, from the driver's files."""

from __future__ import annotations

from pathlib import Path

DRIVER = Path("/proc/driver/nvidia/gpus")


def card_name(device: str) -> str | None:
    """Return the name of the GPU of `cuda:N`. None for another device, or if the driver does not list it."""
    if not device.startswith("cuda"):
        return None
    number = int(device.partition(":")[2] or 0)
    files = sorted(DRIVER.glob("*/information"))
    for line in files[number].read_text().splitlines() if number < len(files) else ():
        if line.startswith("Model:"):
            return line.partition(":")[2].strip()
    return None
