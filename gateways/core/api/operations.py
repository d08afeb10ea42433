"""Routes for operators: `/healthz`, `/readyz` and `/metrics` of any process, `/v1/config` of a gateway."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

from fastapi import APIRouter, Request, Response
from fastapi.responses import PlainTextResponse

import gateways
from gateways.core import tenants
from gateways.core.backend import ModelInfo
from gateways.core.gateway import Gateway
from gateways.core.host.gpu_name import card_name
from gateways.core.http.api_keys import read_keys
from gateways.core.http.json_route import json_response
from gateways.core.http.request_state import process_state
from gateways.core.observability import metrics
from gateways.core.stores.source_check import find_mismatches

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


class HealthCheck(Protocol):
    """The health of a process."""

    def ready(self) -> bool:
        """Return whether a request sent now would be served."""
        ...

    def failure(self) -> str | None:
        """Return the reason of a permanent failure, None without one."""
        ...

    async def health(self) -> dict[str, object]:
        """Return the fields of `/healthz` beside the status."""
        ...


def probes(check: HealthCheck, warnings: Callable[[], dict[str, object]] = dict) -> APIRouter:
    """Return the routes of every process; `warnings` are the fields of `/readyz` where a part is not served."""
    routes = APIRouter(tags=["operations"])

    @routes.get("/healthz")
    async def healthz() -> Response:
        """Tell whether this process works; 503 means: restart it."""
        failure = check.failure()
        if failure:
            return json_response({"status": "failed", "reason": failure} | await check.health(), 503)
        return json_response({"status": "ok" if check.ready() else "starting"} | await check.health())

    @routes.get("/readyz")
    async def readyz(request: Request) -> Response:
        """Tell whether to send requests here."""
        if process_state(request.app).draining:
            return json_response({"status": "not ready", "reason": "this process is about to stop"}, 503)
        failure = check.failure()
        if check.ready() and not failure:
            return json_response({"status": "ready"} | warnings())
        reason = failure or "the model is loading, or the upstream is away"
        return json_response({"status": "not ready", "reason": reason}, 503, {"Retry-After": "1"})

    @routes.get("/metrics", response_class=PlainTextResponse)
    async def prometheus() -> Response:
        """Return the metrics in the Prometheus text format."""
        tenants.require_all()
        return Response(metrics.exposition(), media_type=metrics.CONTENT_TYPE)

    return routes


def config(gateway: Gateway) -> APIRouter:
    """Return the route `/v1/config` of `gateway`."""
    routes = APIRouter(tags=["operations"])
    keys_required = bool(read_keys(gateway.settings))

    @routes.get("/v1/config")
    @routes.get("/config", include_in_schema=False)
    async def configuration() -> Response:
        """Describe the service, its models as measured at start, and its settings without secrets."""
        models = gateway.models()
        damaged = gateway.store.damaged
        mismatches = find_mismatches(gateway.store, models)
        gpu = next((model.device for model in models if model.device not in ("cpu", "")), None)
        return json_response(
            {
                "service": "embedding-gateways",
                "version": gateways.__version__,
                "gateway": gateway.name,
                "status": "healthy" if gateway.ready() else "unhealthy",
                "keys_required": keys_required,
                "capabilities": CAPABILITIES,
                "default_model": gateway.model(None).id,
                "embedding_models": [_describe(model) for model in models if model.kind == "dense"],
                "sparse_models": [_describe(model) for model in models if model.kind == "sparse"],
                "reranker_models": [_describe(model) for model in models if model.kind == "rerank"],
                "gpu_available": gpu is not None,
                "gpu_model": card_name(gpu) if gpu else None,
                "memory_usage_mb": _resident_mb(),
                "damaged_collections": {name: damaged[name].message for name in tenants.visible(damaged)},
                "vector_mismatches": {name: mismatches[name] for name in tenants.visible(mismatches)},
                "settings": gateway.settings.public(),
            }
        )

    return routes


def _describe(model: ModelInfo) -> dict[str, Any]:
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
