"""Device names: auto, cpu, cuda, cuda:N, mps."""

from __future__ import annotations

import re

from bench.errors import BenchError

DEVICE = re.compile(r"auto|cpu|cuda(:(0|[1-9]\d*))?|mps")
SEPARATOR = "@"  # between a target's name and its second or further device: python@cuda
CPU = "cpu"


def parse(text: str) -> tuple[str, ...]:
    """Parse the value of `--device`, in its order. Raises BenchError for an unknown or a repeated device."""
    devices = tuple(device.strip() for device in text.split(","))
    if unknown := [device for device in devices if not DEVICE.fullmatch(device)]:
        raise BenchError(
            f"--device takes auto, cpu, cuda, cuda:N (N is the card's number) or mps, separated by commas, "
            f"not {unknown[0]!r}"
        )
    if duplicates := [device for device in dict.fromkeys(devices) if devices.count(device) > 1]:
        raise BenchError(f"--device {text}: {duplicates[0]} is given twice, and its rows would be the same cells")
    return devices


def is_gpu(device: str) -> bool:
    """Whether the name is that of a GPU. `auto` is not: only the machine can resolve it."""
    return device.partition(":")[0] in ("cuda", "mps")
