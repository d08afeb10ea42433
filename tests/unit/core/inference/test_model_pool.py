"""The models of a process: listed once the default one is loaded, calibrated, and loaded when first used."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from gateways.core.errors import BackendUnavailable
from gateways.core.inference.model_pool import ModelPool
from gateways.core.models.runtime import DenseModel
from gateways.core.settings import ModelSettings

ROOT = Path(__file__).resolve().parents[4]
DEFAULT = "all-MiniLM-L6-v2"


def with_pool(scenario: Callable[[ModelPool], Awaitable[None]]) -> None:
    """Run a scenario with the catalogue's models on ONNX Runtime, located and not yet loaded."""
    onnx = pytest.importorskip("gateways.onnx_py.runtime")
    pool = ModelPool(onnx, ModelSettings(models_file=ROOT / "models.yaml", models_dir=ROOT / "models", device="cpu"))
    pool.open()

    async def run() -> None:
        try:
            await scenario(pool)
        finally:
            pool.close()

    asyncio.run(run())


def test_no_model_is_listed_or_used_before_the_default_one_is_loaded() -> None:
    """A request that comes while the process starts is told to come again."""

    async def scenario(pool: ModelPool) -> None:
        assert not pool.infos
        with pytest.raises(BackendUnavailable) as refused:
            async with pool.use(DEFAULT):
                pytest.fail("a model that is not loaded")
        assert refused.value.retry_after_s == 1

        await pool.preload()

        assert pool.infos[0].id == DEFAULT
        assert pool.device == "cpu"

    with_pool(scenario)


def test_a_loaded_model_is_listed_with_what_was_measured() -> None:
    """Its time for a short text and the costs of its passes; the late interaction over it has the same."""

    async def scenario(pool: ModelPool) -> None:
        await pool.preload()
        dense: DenseModel
        async with pool.use(DEFAULT) as dense:
            info = pool.infos[0]
            assert info.loaded
            assert info.inference_time_ms
            assert info.pass_cost == dense.cost

        late = next(info for info in pool.infos if info.of == DEFAULT)
        assert pool.compared_by(late.id) == DEFAULT
        assert pool.compared_by(DEFAULT) is None
        assert late.pass_cost == info.pass_cost

    with_pool(scenario)
