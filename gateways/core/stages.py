"""How long the stages of a request take: for `/metrics`, and for the client, in `Server-Timing`."""

from __future__ import annotations

from contextvars import ContextVar

from gateways.core import metrics, tracing

# What the request at hand has spent so far, in seconds by stage; tasks that it starts add to the same.
_spent: ContextVar[dict[str, float] | None] = ContextVar("spent", default=None)


def begin() -> dict[str, float]:
    """Begin to add up for a request, in the context that serves it; what it will have spent."""
    spent: dict[str, float] = {}
    _spent.set(spent)
    return spent


def took(stage: str, started_s: float, ended_s: float, model: str = "") -> None:
    """Say when a stage of a request or of an ingest began and ended, by `time.perf_counter`, and for which model."""
    seconds = ended_s - started_s
    metrics.stage_seconds.labels(stage, model).observe(seconds)
    tracing.stage(stage, started_s, ended_s, model)
    spent = _spent.get()
    if spent is not None:
        spent[stage] = spent.get(stage, 0.0) + seconds


def server_timing(spent: dict[str, float]) -> bytes:
    """Return the value of the header: https://www.w3.org/TR/server-timing/, durations in milliseconds."""
    return ", ".join(f"{stage};dur={seconds * 1e3:.2f}" for stage, seconds in spent.items()).encode("ascii")
