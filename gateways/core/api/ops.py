"""`/healthz`, `/readyz`, `/metrics` of any process, and `/v1/config` of a gateway."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Protocol

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

import gateways
from gateways.core import metrics
from gateways.core.api.body import json_response
from gateways.core.backend import ModelInfo
from gateways.core.cards import card_name
from gateways.core.gateway import Gateway

CAPABILITIES = (
    "embeddings",
    "sparse",
    "rerank",
    "dialects",
    "models",
    "ingest",
    "jobs",
    "cancel",
    "chunking",
    "search",
    "hybrid",
    "rerank_search",
    "documents",
    "filter",
    "collections",
    "config",
)


class Checked(Protocol):
    """Something whose health can be told."""

    def ready(self) -> bool:
        """Say whether a request sent now would be served."""
        ...

    def failure(self) -> str | None:
        """Return what is broken for good, None while nothing is."""
        ...

    async def health(self) -> dict[str, object]:
        """Return what `/healthz` tells besides the status."""
        ...


def probes(checked: Checked) -> APIRouter:
    """Return the routes that every process has."""
    routes = APIRouter(tags=["operations"])

    @routes.get("/healthz")
    async def healthz() -> Response:
        """Tell whether this process works; 503 means: restart it."""
        failure = checked.failure()
        if failure:
            return json_response({"status": "failed", "reason": failure} | await checked.health(), 503)
        return json_response({"status": "ok" if checked.ready() else "starting"} | await checked.health())

    @routes.get("/readyz")
    async def readyz(request: Request) -> Response:
        """Tell whether to send requests here."""
        if request.app.state.draining:
            return json_response({"status": "not ready", "reason": "this process is about to stop"}, 503)
        if checked.ready():
            return json_response({"status": "ready"})
        reason = checked.failure() or "the model is loading, or the upstream is away"
        return json_response({"status": "not ready", "reason": reason}, 503, {"Retry-After": "1"})

    @routes.get("/metrics", response_class=PlainTextResponse)
    async def prometheus() -> Response:
        """Return the metrics in the Prometheus text format."""
        return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)

    return routes


def config(gateway: Gateway) -> APIRouter:
    """Return the route that describes `gateway`."""
    routes = APIRouter(tags=["operations"])

    @routes.get("/v1/config")
    @routes.get("/config", include_in_schema=False)
    async def configuration() -> Response:
        """Describe the service, its models as measured at start, and its settings without secrets."""
        models = gateway.models()
        gpu = next((model.device for model in models if model.device not in ("cpu", "")), None)
        return json_response(
            {
                "service": "embedding-gateways",
                "version": gateways.__version__,
                "gateway": gateway.name,
                "status": "healthy" if gateway.ready() else "unhealthy",
                "capabilities": CAPABILITIES,
                "default_model": gateway.model(None).id,
                "embedding_models": [_measured(model) for model in models if model.kind == "dense"],
                "sparse_models": [_measured(model) for model in models if model.kind == "sparse"],
                "reranker_models": [_measured(model) for model in models if model.kind == "rerank"],
                "gpu_available": gpu is not None,
                "gpu_model": card_name(gpu) if gpu else None,
                "memory_usage_mb": _resident_mb(),
                "settings": gateway.settings.public(),
            }
        )

    return routes


def _measured(model: ModelInfo) -> dict[str, Any]:
    return {
        "name": model.id,
        "dimensions": model.dimensions or None,
        "max_input_tokens": model.max_input_tokens,
        "inference_time_ms": model.inference_time_ms,
        "pass_cost_tokens": model.pass_cost._asdict() if model.pass_cost else None,
        "languages": model.languages,
        "precision": model.precision,
        "device": model.device,
        "loaded": model.loaded,
    }


def _resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return round(pages * os.sysconf("SC_PAGESIZE") / 1e6, 1)
