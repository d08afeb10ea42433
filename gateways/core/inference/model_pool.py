"""The models of the catalogue that this machine serves: loaded on demand, calibrated when loaded, and listed."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from gateways.core.backend import ModelInfo
from gateways.core.errors import BackendUnavailable, fetching
from gateways.core.inference.pass_cost import tune
from gateways.core.models import catalog
from gateways.core.models.availability import Availability, Measured
from gateways.core.models.loaded_models import LoadedModels
from gateways.core.models.runtime import DenseModel, Model, Runtime, measure_ms
from gateways.core.settings import ModelSettings


class ModelPool:
    """Models of every kind by id, within MODEL_MEMORY_MB."""

    def __init__(self, runtime: Runtime, settings: ModelSettings) -> None:
        self._runtime = runtime
        self._settings = settings
        self._infos: tuple[ModelInfo, ...] = ()
        self._measured: dict[str, Measured] = {}
        self._unloading: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Locate the weights of every model. Raises CatalogError when those of a default model are not here."""
        models, settings = catalog.load(self._settings.models_file), self._settings
        if not models.use_gpu and settings.device == "auto":
            self._settings = settings = settings.model_copy(update={"device": "cpu"})
        self._availability = Availability(models, self._runtime, settings)
        self._loaded_models: LoadedModels[Any] = LoadedModels(
            self._load,
            lambda model_id: self._availability.located[model_id].memory_bytes(),
            settings.model_memory_mb * 1_000_000,
            settings.model_idle_s,
            self._list,
        )

    async def preload(self) -> None:
        """Load the default model and those that the catalogue preloads; unload idle ones from now on."""
        for model_id, located in self._availability.located.items():
            if model_id == self._availability.default or located.entry.preload:
                self._loaded_models.release(await self._loaded_models.acquire(model_id))
        self._unloading = asyncio.create_task(self._loaded_models.unload_idle())

    def close(self) -> None:
        """Stop unloading idle models."""
        if self._unloading:
            self._unloading.cancel()

    @property
    def infos(self) -> Sequence[ModelInfo]:
        """Return the models, the default of each kind first, those without weights last; empty until preloaded."""
        return self._infos

    @property
    def device(self) -> str:
        """Return the device of the default model."""
        return self._availability.located[self._availability.default].info.device

    def compared_by(self, reranker: str) -> str | None:
        """Return the dense model whose tokens a late interaction compares, None for any other model."""
        return self._availability.late.get(reranker) if self._infos else None

    @asynccontextmanager
    async def use(self, model_id: str) -> AsyncIterator[Any]:
        """
        Yield a model of its kind, loaded, and keep it loaded until the block ends.

        Raises BackendUnavailable before the default model is loaded, and when this one cannot be loaded.
        """
        if not self._infos:
            raise BackendUnavailable("the model is loading; /readyz tells when it is ready", retry_after_s=1)
        loaded_model = await self._loaded_models.acquire(model_id)
        try:
            yield loaded_model.model
        finally:
            self._loaded_models.release(loaded_model)

    def _load(self, model_id: str) -> Model:
        located = self._availability.located[model_id]
        try:
            model = self._runtime.load(located, self._settings)
        except FileNotFoundError as absent:
            raise catalog.WeightsAbsent(f"{absent.filename} is not there: {fetching(model_id)}") from absent
        if located.info.kind == "dense":
            tune(cast(DenseModel, model), located, self._settings)
        self._measured[model_id] = Measured(round(measure_ms(model), 2), model.cost)
        return model

    def _list(self) -> None:
        """List the models anew, after one was loaded or unloaded."""
        held = {model_id: self._loaded_models.get(model_id) for model_id in self._availability.located}
        loaded = {model_id: model.info for model_id, model in held.items() if model}
        if self._infos or self._availability.default in loaded:
            self._infos = self._availability.infos(loaded, self._measured)
