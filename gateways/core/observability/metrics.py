"""The Prometheus metrics of a gateway process."""

from __future__ import annotations

from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
registry = CollectorRegistry()
ProcessCollector(registry=registry)

_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

forward_passes = Counter("gateway_forward_passes_total", "Forward passes of this process.", registry=registry)
forward_texts = Counter(
    "gateway_forward_texts_total", "Texts in the forward passes of this process.", registry=registry
)
forward_tokens = Counter(
    "gateway_forward_tokens_total",
    "Tokens in the forward passes of this process, without padding.",
    registry=registry,
)
embedded_texts = Counter(
    "gateway_embedded_texts_total", "Texts embedded by this process or by its embed service.", registry=registry
)
embed_cache_hits = Counter(
    "gateway_embed_cache_hits_total",
    "Single texts whose embedding was in the cache, or was computed for a concurrent request.",
    registry=registry,
)
embed_cache_misses = Counter(
    "gateway_embed_cache_misses_total",
    "Single texts whose embedding was not in the cache.",
    registry=registry,
)
rerank_cache_hits = Counter(
    "gateway_rerank_cache_hits_total", "Texts to rerank whose token vectors were in the cache.", registry=registry
)
rerank_cache_misses = Counter(
    "gateway_rerank_cache_misses_total",
    "Texts to rerank whose token vectors were not in the cache.",
    registry=registry,
)
stage_seconds = Histogram(
    "gateway_stage_seconds",
    "Duration of a stage of requests and ingests, in seconds: tokenize, queue, infer, upstream, retrieve, rerank.",
    ["stage", "model"],
    buckets=_LATENCY_S,
    registry=registry,
)
pass_texts = Histogram(
    "gateway_pass_texts", "Texts per forward pass.", buckets=(1, 2, 4, 8, 16, 32, 64, 128), registry=registry
)
padding_tokens = Counter(
    "gateway_padding_tokens_total", "Cost of padding in forward passes, in tokens.", registry=registry
)
in_flight = Gauge("gateway_in_flight", "Requests received but not answered yet.", registry=registry)
requests = Counter("gateway_requests_total", "Requests answered.", ["route", "status"], registry=registry)
latency = Histogram(
    "gateway_request_seconds",
    "Time to answer a request, in seconds.",
    ["route"],
    buckets=_LATENCY_S,
    registry=registry,
)
documents = Gauge("gateway_documents", "Documents in the store.", registry=registry)
data_bytes = Gauge("gateway_data_bytes", "Size of DATA_DIR on disk, in bytes.", registry=registry)
journal_bytes = Gauge("gateway_journal_bytes", "Size of the job journal, in bytes.", registry=registry)
last_snapshot = Gauge(
    "gateway_last_snapshot_timestamp_seconds",
    "Unix time of the last snapshot that this process made, 0 for none.",
    registry=registry,
)
damaged_collections = Gauge(
    "gateway_damaged_collections", "Collections that are damaged and not served.", registry=registry
)
jobs_accepted = Counter("gateway_jobs_accepted_total", "Ingest jobs accepted.", registry=registry)
jobs_finished = Counter(
    "gateway_jobs_finished_total",
    "Ingest jobs that ended as completed, failed or cancelled.",
    ["status"],
    registry=registry,
)
ingested = Counter("gateway_ingested_documents_total", "Documents acknowledged by ingest jobs.", registry=registry)
queue_tokens = Gauge("gateway_queue_tokens", "Tokens that wait for a forward pass.", registry=registry)
refusals = Counter(
    "gateway_refusals_total",
    "Requests refused with 429 before their body was read, because too many wait.",
    registry=registry,
)
failovers = Counter(
    "gateway_failovers_total", "Calls sent to another embed service after one failed.", registry=registry
)
hedged_calls = Counter(
    "gateway_hedged_calls_total",
    "Calls sent to a second embed service because the first one was slow.",
    registry=registry,
)
model_thread_losses = Counter(
    "gateway_model_thread_losses_total", "Model threads that hung or died.", registry=registry
)

model_loaded = Gauge(
    "gateway_model_loaded", "State of a model: 1 if it is in memory, else 0.", ["model"], registry=registry
)


def forward(texts: int, tokens: int, padding: float = 0.0) -> None:
    """Count a forward pass over `texts` rows with `tokens` tokens in all. `padding` is its padding cost in tokens."""
    forward_passes.inc()
    pass_texts.observe(texts)
    padding_tokens.inc(padding)
    forward_texts.inc(texts)
    forward_tokens.inc(tokens)


@cache
def _of_route(route: str, status: int) -> tuple[Counter, Histogram]:
    """Return the metrics of a route. Finding them by their labels takes as long as counting."""
    return requests.labels(route, status), latency.labels(route)


def count_request(route: str, status: int, elapsed_s: float) -> None:
    """Count a request that is answered."""
    count, seconds = _of_route(route, status)
    count.inc()
    seconds.observe(elapsed_s)


@cache
def of_stage(stage: str, model: str) -> Histogram:
    """Return the histogram of a stage."""
    return stage_seconds.labels(stage, model)


def exposition() -> bytes:
    """Return all metrics in the Prometheus text format 0.0.4."""
    return generate_latest(registry)
