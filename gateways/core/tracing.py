"""
Traces of requests by OpenTelemetry: one from the thin gateway through the embed service to the store.

Off unless OTEL_EXPORTER_OTLP_ENDPOINT says where they go; needs the extra `otel`. The SDK reads its own variables
(OTEL_SERVICE_NAME, OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_HEADERS and so on):
https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

WHERE = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
Fields: TypeAlias = Sequence[tuple[bytes, bytes]]

_tracer: Tracer | None = None


class TracingUnavailable(Exception):
    """Traces are wanted, and what makes them is not installed."""


def start(service: str) -> None:
    """Trace from now on, if the environment says where to; as `service` unless OTEL_SERVICE_NAME says otherwise."""
    global _tracer
    if not any(os.environ.get(name) for name in WHERE) or os.environ.get("OTEL_SDK_DISABLED", "").lower() == "true":
        return
    try:
        from opentelemetry import trace
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import SERVICE_NAME, Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as missing:
        raise TracingUnavailable(
            f"{WHERE[1]} is set, and {missing.name} is missing: pip install embedding-gateways[otel]"
        ) from None
    name = os.environ.get("OTEL_SERVICE_NAME", service)
    provider = TracerProvider(resource=Resource.create({SERVICE_NAME: name}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    _tracer = trace.get_tracer("gateways")


def request(method: str, path: str, fields: Fields) -> AbstractContextManager[Span | None]:
    """Begin the span of a request, below that of its client where `fields`, the header, tell of one."""
    return _request(_tracer, method, path, fields) if _tracer else nullcontext()


@contextmanager
def _request(tracer: Tracer, method: str, path: str, fields: Fields) -> Iterator[Span]:
    from opentelemetry import propagate
    from opentelemetry.trace import SpanKind

    carrier = {name.decode("latin-1"): value.decode("latin-1") for name, value in fields}
    said: dict[str, Any] = {"http.request.method": method, "url.path": path}
    with tracer.start_as_current_span(
        f"{method} {path}", propagate.extract(carrier), kind=SpanKind.SERVER, attributes=said
    ) as span:
        yield span


def answered(span: Span | None, method: str, route: str, status: int) -> None:
    """Say how a request was answered, and name its span as its route is written: ids are not names."""
    if span:
        span.update_name(f"{method} {route}")
        span.set_attributes({"http.route": route, "http.response.status_code": status})


def stage(name: str, started_s: float, ended_s: float, model: str) -> None:
    """Add a stage that ended, by `time.perf_counter`, to the span at hand."""
    if _tracer:
        to_ns = time.time_ns() - time.perf_counter_ns()
        attributes = {"gateway.model": model} if model else {}
        span = _tracer.start_span(name, start_time=to_ns + int(started_s * 1e9), attributes=attributes)
        span.end(to_ns + int(ended_s * 1e9))


def fields() -> dict[str, str]:
    """Return the header fields that tell another service which span its request belongs to."""
    if not _tracer:
        return {}
    from opentelemetry import propagate

    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier
