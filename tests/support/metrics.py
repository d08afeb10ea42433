"""What a process says on /metrics."""

from __future__ import annotations

import httpx


def samples(url: str) -> dict[str, float]:
    """Return each series of a process by name and labels, as `name{label="value"}`; `url` is that of /metrics."""
    lines = httpx.get(url, trust_env=False).text.splitlines()
    pairs = (line.rpartition(" ") for line in lines if line and not line.startswith("#"))
    return {series: float(value) for series, _, value in pairs}


def metric(url: str, name: str) -> float:
    """Return one series; KeyError where there is none of that name."""
    return samples(url)[name]
