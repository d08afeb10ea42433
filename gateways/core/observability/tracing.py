"""
Distributed tracing by OpenTelemetry: one trace from the thin gateway through the embed service to the store.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT is set. It needs the extra `otel`. The SDK reads its own variables
(OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS and so on):
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
Headers: TypeAlias = Sequence[tuple[bytes, bytes]]

_tracer: Tracer | None = None


class TracingUnavailable(Exception):
    """Tracing is configured and its packages are not installed."""


def start(service: str) -> None:
    """Start tracing if an endpoint is set. OTEL_SERVICE_NAME replaces `service`. Raises TracingUnavailable."""
    global _tracer
    if (
        not any(os.environ.get(name) for name in ENDPOINTS)
        or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true"
    ):
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as missing:
        raise TracingUnavailable(
            f"{ENDPOINTS[1]} is set, and {missing.name} is missing: pip install embedding-gateways[otel]"
        ) from None
    name = os.environ.get("OTEL_SERVICE_NAME", service)
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    _tracer = trace.get_tracer("gateways")


def request(method: str, path: str, headers: Headers) -> AbstractContextManager[Span] | None:
    """Return the context of the request's span, None if tracing is off. The headers may name the span's parent."""
    return _request(_tracer, method, path, headers) if _tracer else None


@contextmanager
def _request(tracer: Tracer, method: str, path: str, headers: Headers) -> Iterator[Span]:
    from opentelemetry import propagate
    from opentelemetry.trace import SpanKind

    carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in headers}
    attributes: dict[str, Any] = {"http.request.method": method, "url.path": path}
    with tracer.start_as_current_span(
        f"{method} {path}", propagate.extract(carrier), kind=SpanKind.SERVER, attributes=attributes
    ) as span:
        yield span


def end_request(span: Span, method: str, route: str, status: int) -> None:
    """Add the status to a request's span. The span is named by its route, since a path holds ids."""
    span.update_name(f"{method} {route}")
    span.set_attributes({"http.route": route, "http.response.status_code": status})


def stage(name: str, started_s: float, ended_s: float, model: str) -> None:
    """Add a finished stage to the current span. Both times are of `time.perf_counter`."""
    if _tracer:
        epoch_ns = time.time_ns() - time.perf_counter_ns()
        attributes = {"gateway.model": model} if model else {}
        span = _tracer.start_span(name, start_time=epoch_ns + int(started_s * 1e9), attributes=attributes)
        span.end(epoch_ns + int(ended_s * 1e9))


def fields() -> dict[str, str]:
    """Return the headers that make the current span the parent of another service's span."""
    if not _tracer:
        return {}
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier
