"""What the driver calls the GPUs of this machine."""

from __future__ import annotations

from pathlib import Path

DRIVER = Path("/proc/driver/nvidia/gpus")


def card_name(device: str) -> str | None:
    """Return the name of the NVIDIA card behind cuda:N; None for another device, or where the driver does not say."""
    if not device.startswith("cuda"):
        return None
    number = int(device.partition(":")[2] or 0)
    told = sorted(DRIVER.glob("*/information"))
    for line in told[number].read_text().splitlines() if number < len(told) else ():
        if line.startswith("Model:"):
            return line.partition(":")[2].strip()
    return None
