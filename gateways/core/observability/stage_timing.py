"""Seconds per stage of a request, for `/metrics`, for traces, and for the client in the header `Server-Timing`."""

from __future__ import annotations

from contextvars import ContextVar

from gateways.core.observability import metrics, tracing

# Seconds by stage of the request of this context. Tasks that the request starts share the dict.
_stage_s: ContextVar[dict[str, float] | None] = ContextVar("stage_s", default=None)


def begin() -> dict[str, float]:
    """Start timing a request in the current context. Returns the dict that fills with seconds per stage."""
    stage_s: dict[str, float] = {}
    _stage_s.set(stage_s)
    return stage_s


def took(stage: str, started_s: float, ended_s: float, model: str = "") -> None:
    """Record a stage of a request or of an ingest. Both times are of `time.perf_counter`."""
    seconds = ended_s - started_s
    metrics.of_stage(stage, model).observe(seconds)
    tracing.stage(stage, started_s, ended_s, model)
    stage_s = _stage_s.get()
    if stage_s is not None:
        stage_s[stage] = stage_s.get(stage, 0.0) + seconds


def server_timing(stage_s: dict[str, float]) -> bytes:
    """Return the header's value, durations in milliseconds: https://www.w3.org/TR/server-timing/."""
    return ", ".join(f"{stage};dur={seconds * 1e3:.2f}" for stage, seconds in stage_s.items()).encode("ascii")
