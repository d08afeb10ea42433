"""The embed service as an application: its routes, its probes, and nothing else."""

from __future__ import annotations

import dataclasses
from typing import Any

from gateways.core.api import landing, operations
from gateways.core.app.create_app import assemble
from gateways.core.backend import Backend, ModelInfo
from gateways.core.http.fast_path import FastPathApp
from gateways.core.settings import HttpSettings
from gateways.split.embed_service import routes

LINKS = {"ready": "/readyz", "health": "/healthz", "metrics": "/metrics"}


class Health:
    """The backend's health, and which models it serves: what the thin gateway asks before it sends texts."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        self.ready = backend.ready
        self.failure = backend.failure

    async def health(self) -> dict[str, object]:
        """Return the models as they are now, loaded or not."""
        models = [_told(model) for model in self._backend.models()]
        return {"model_loaded": bool(models), "models": models}


def create_app(backend: Backend, settings: HttpSettings) -> FastPathApp:
    """Return the service over one backend."""

    async def stop() -> None:
        await backend.__aexit__(None, None, None)

    routers = [
        routes.router(backend, settings),
        operations.probes(Health(backend)),
        landing.router("embed service", LINKS),
    ]
    return assemble("embed service", routers, settings, backend.__aenter__, stop)


def _told(model: ModelInfo) -> dict[str, Any]:
    """Return all that is known of a model, as JSON has it."""
    return dataclasses.asdict(model) | {"pass_cost": list(model.pass_cost) if model.pass_cost else None}
