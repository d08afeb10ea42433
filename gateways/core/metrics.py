"""The Prometheus metrics of a gateway process."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, ProcessCollector, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
registry = CollectorRegistry()
ProcessCollector(registry=registry)

_LATENCY_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)

forward_passes = Counter(
    "gateway_forward_passes_total", "Forward passes of the model in this process.", registry=registry
)
forward_texts = Counter(
    "gateway_forward_texts_total", "Texts that went through the model in this process.", registry=registry
)
forward_tokens = Counter(
    "gateway_forward_tokens_total", "Tokens that went through the model, padding left out.", registry=registry
)
embedded_texts = Counter(
    "gateway_embedded_texts_total", "Texts the backend embedded, here or upstream.", registry=registry
)
embed_cache_hits = Counter(
    "gateway_embed_cache_hits_total", "Texts whose embedding was remembered, or being made.", registry=registry
)
embed_cache_misses = Counter(
    "gateway_embed_cache_misses_total",
    "Texts, alone in their requests, that were embedded.",
    registry=registry,
)
rerank_cache_hits = Counter(
    "gateway_rerank_cache_hits_total", "Texts to rerank whose token vectors were remembered.", registry=registry
)
rerank_cache_misses = Counter(
    "gateway_rerank_cache_misses_total", "Texts to rerank whose token vectors were not remembered.", registry=registry
)
stage_seconds = Histogram(
    "gateway_stage_seconds",
    "Time that a stage of a request or of an ingest took: tokenize, queue, infer, upstream, retrieve, rerank.",
    ["stage", "model"],
    buckets=_LATENCY_S,
    registry=registry,
)
pass_texts = Histogram(
    "gateway_pass_texts", "Texts of one forward pass.", buckets=(1, 2, 4, 8, 16, 32, 64, 128), registry=registry
)
padding_tokens = Counter(
    "gateway_padding_tokens_total", "Tokens of padding that passes computed, or cost as much as.", registry=registry
)
in_flight = Gauge("gateway_in_flight", "Requests being answered.", registry=registry)
requests = Counter("gateway_requests_total", "Requests answered.", ["route", "status"], registry=registry)
latency = Histogram("gateway_request_seconds", "Time to answer.", ["route"], buckets=_LATENCY_S, registry=registry)
documents = Gauge("gateway_documents", "Documents that search can find.", registry=registry)
data_bytes = Gauge("gateway_data_bytes", "Bytes on disk in DATA_DIR.", registry=registry)
jobs_accepted = Counter("gateway_jobs_accepted_total", "Ingest jobs accepted.", registry=registry)
jobs_finished = Counter("gateway_jobs_finished_total", "Ingest jobs that ended.", ["status"], registry=registry)
ingested = Counter("gateway_ingested_documents_total", "Documents worked off by ingest jobs.", registry=registry)
queue_tokens = Gauge("gateway_queue_tokens", "Tokens that wait for the model.", registry=registry)
refusals = Counter(
    "gateway_refusals_total", "Requests refused before their body was read: too many wait.", registry=registry
)
model_thread_losses = Counter(
    "gateway_model_thread_losses_total", "Model threads that hung or died, and were replaced.", registry=registry
)

model_loaded = Gauge("gateway_model_loaded", "1 while a model is in memory.", ["model"], registry=registry)


def forward(texts: int, tokens: int, padding: float = 0.0) -> None:
    """Count one forward pass over `texts` rows that hold `tokens`, and what its padding cost in tokens."""
    forward_passes.inc()
    pass_texts.observe(texts)
    padding_tokens.inc(padding)
    forward_texts.inc(texts)
    forward_tokens.inc(tokens)


def exposition() -> bytes:
    """Return all metrics in the Prometheus text format 0.0.4."""
    return generate_latest(registry)
