"""A request through both processes of the split is one trace, sent as real OTLP to whoever listens."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple

import httpx
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from tests.support.gateways import describe, wait_until
from tests.system.observability.conftest import Begin

TRACE, PARENT = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
# Two clocks are read one after the other, and a busy machine may come between.
CLOCKS_NS = 20_000_000
OFTEN = {"OTEL_BSP_SCHEDULE_DELAY": "100"}


class Seen(NamedTuple):
    """A span as it was exported; ids in hexadecimal, times in nanoseconds."""

    service: str
    name: str
    id: str
    parent: str
    trace: str
    start_ns: int
    end_ns: int
    attributes: dict[str, str]


class Collector(ThreadingHTTPServer):
    """Takes OTLP over HTTP, and keeps the spans."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Receiver)
        self.spans: list[Seen] = []

    @property
    def url(self) -> str:
        """Where exporters send to."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class Receiver(BaseHTTPRequestHandler):
    """One export."""

    server: Collector

    def do_POST(self) -> None:
        """Keep what was sent."""
        body = self.rfile.read(int(self.headers["content-length"]))
        for resource in ExportTraceServiceRequest.FromString(body).resource_spans:
            named = {attribute.key: attribute.value.string_value for attribute in resource.resource.attributes}
            for span in (span for scope in resource.scope_spans for span in scope.spans):
                attributes = {attribute.key: attribute.value.string_value for attribute in span.attributes}
                ids = (span.span_id.hex(), span.parent_span_id.hex(), span.trace_id.hex())
                times = (span.start_time_unix_nano, span.end_time_unix_nano)
                self.server.spans.append(Seen(named["service.name"], span.name, *ids, *times, attributes))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    """Yield a collector that listens."""
    with Collector() as listening:
        threading.Thread(target=listening.serve_forever, daemon=True).start()
        yield listening
        listening.shutdown()


def test_a_search_is_one_trace_through_both_processes(begin: Begin, collector: Collector) -> None:
    """The client's span, the gateway's below it, the embed service's below that, and the stages where they belong."""
    gateway = begin(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **OFTEN)

    question = {"query": "How many countries does the Danube flow through?", "rerank": True}
    traceparent = f"00-{TRACE}-{PARENT}-01"
    answer = httpx.post(f"{gateway.url}/v1/search", json=question, headers={"traceparent": traceparent}, timeout=60)

    assert answer.status_code == 200, answer.text
    wait_until(lambda: {"retrieve", "infer"} <= {span.name for span in traced(collector)}, 30, "the spans")
    gateway.stop()  # exports what is left
    spans = traced(collector)
    [front] = [span for span in spans if span.name == "POST /v1/search"]
    assert front.parent == PARENT
    behind = [span for span in spans if span.parent == front.id and span.name.startswith("POST /embed")]
    assert behind
    assert len({span.service for span in (front, *behind)}) == 2
    stages = {span.name: span for span in spans if span.parent == front.id}
    assert {"upstream", "retrieve", "rerank"} <= set(stages)
    assert {"tokenize", "queue", "infer"} <= {span.name for span in spans if span.parent == behind[0].id}
    for span in stages.values():
        assert front.start_ns - CLOCKS_NS <= span.start_ns <= span.end_ns <= front.end_ns + CLOCKS_NS
    assert stages["upstream"].attributes["gateway.model"] == "all-MiniLM-L6-v2"


def traced(collector: Collector) -> list[Seen]:
    """Return the spans of the client's trace."""
    return [span for span in collector.spans if span.trace == TRACE]


def test_without_the_extra_it_is_said_what_is_missing(tmp_path_factory: pytest.TempPathFactory) -> None:
    """In the environment of the thin gateway alone: no service that seems to trace and does not."""
    process = describe(
        "pseudo", tmp_path_factory.mktemp("bare"), OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9"
    ).front
    process.launch()
    assert process.popen

    assert process.popen.wait(60) == 2
    assert "embedding-gateways[otel]" in process.log()
