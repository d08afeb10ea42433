"""Models in memory: within the budget, the oldest idle one goes first, and none while it is used."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable

import pytest

from gateways.core.errors import BackendUnavailable
from gateways.core.models.loaded_models import LoadedModels

SIZES = {"a": 40, "b": 40, "c": 40, "huge": 101}


class Loads:
    """What was loaded, in order; a model is its own name in capitals."""

    def __init__(self, **options: float) -> None:
        self.order: list[str] = []
        chosen = {"budget_bytes": 100, "idle_s": 0.0} | options
        self.loaded_models = LoadedModels(
            self.load, SIZES.__getitem__, int(chosen["budget_bytes"]), chosen["idle_s"], lambda: None
        )

    def load(self, name: str) -> str:
        """Remember and return."""
        self.order.append(name)
        return name.upper()

    async def use(self, name: str) -> str:
        """Acquire and let go."""
        loaded_model = await self.loaded_models.acquire(name)
        self.loaded_models.release(loaded_model)
        return loaded_model.model

    def held(self) -> set[str]:
        """Return what is loaded now."""
        return {name for name in SIZES if self.loaded_models.get(name)}


def run(scenario: Callable[[], Awaitable[None]], timeout_s: float = 20) -> None:
    """Run one, within a time."""

    async def limited() -> None:
        await asyncio.wait_for(scenario(), timeout_s)

    asyncio.run(limited())


def test_a_model_is_loaded_once_however_many_ask() -> None:
    """All of them get the one."""
    loads = Loads()

    async def scenario() -> None:
        assert set(await asyncio.gather(*(loads.use("a") for _ in range(20)))) == {"A"}

    run(scenario)
    assert loads.order == ["a"]


def test_the_one_idle_longest_makes_room() -> None:
    """`a` was used after `b`, so `b` goes when `c` comes."""
    loads = Loads()

    async def scenario() -> None:
        for name in ("a", "b", "a", "c"):
            await loads.use(name)
            await asyncio.sleep(0.01)

    run(scenario)
    assert loads.held() == {"a", "c"}


def test_a_model_in_use_stays_and_the_newcomer_waits() -> None:
    """Both others are in use: `c` is served as soon as one is let go, and the used one never vanished."""
    loads = Loads()

    async def scenario() -> None:
        a, b = await loads.loaded_models.acquire("a"), await loads.loaded_models.acquire("b")
        coming = asyncio.create_task(loads.use("c"))
        await asyncio.sleep(0.05)
        assert not coming.done()
        assert loads.held() == {"a", "b"}
        loads.loaded_models.release(b)
        assert await coming == "C"
        assert loads.held() == {"a", "c"}
        loads.loaded_models.release(a)

    run(scenario)


def test_a_model_over_the_whole_budget_is_refused_in_words() -> None:
    """It would never fit: no waiting, and nothing else is unloaded for it."""
    loads = Loads()

    async def scenario() -> None:
        await loads.use("a")
        with pytest.raises(BackendUnavailable, match="MODEL_MEMORY_MB"):
            await loads.use("huge")

    run(scenario)
    assert loads.held() == {"a"}


def test_no_budget_keeps_everything() -> None:
    """0 is no limit."""
    loads = Loads(budget_bytes=0)

    async def scenario() -> None:
        for name in SIZES:
            await loads.use(name)

    run(scenario)
    assert loads.held() == set(SIZES)


def test_a_model_nobody_uses_is_unloaded_after_a_while() -> None:
    """The idle one goes, the used one stays."""
    loads = Loads(idle_s=0.1)

    async def scenario() -> None:
        watching = asyncio.create_task(loads.loaded_models.unload_idle())
        used = await loads.loaded_models.acquire("a")
        await loads.use("b")
        for _ in range(500):
            if loads.held() == {"a"}:
                break
            await asyncio.sleep(0.02)
        assert loads.held() == {"a"}
        loads.loaded_models.release(used)
        watching.cancel()

    run(scenario)


def test_a_load_outlives_the_request_that_began_it() -> None:
    """A model that takes longer to load than requests wait is loaded once, and is there for a later request."""
    loads = Loads()
    allowed = threading.Event()

    def load(name: str) -> str:
        assert allowed.wait(10)
        return loads.load(name)

    loads.loaded_models = LoadedModels(load, SIZES.__getitem__, 100, 0, lambda: None)

    async def scenario() -> None:
        for _ in range(3):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(loads.use("a"), 0.02)
        allowed.set()
        assert await loads.use("a") == "A"

    run(scenario)
    assert loads.order == ["a"]


def test_a_model_taken_while_another_is_unloaded_stays() -> None:
    """`a` and `b` are idle. While `a` is unloaded, a request takes `b`."""
    loads = Loads(idle_s=0.1)
    unloaded: list[set[str]] = []

    async def scenario() -> None:
        for name in ("a", "b"):
            await loads.use(name)
        await asyncio.sleep(0.2)
        taken = []

        async def take_b() -> None:
            while loads.held() == {"a", "b"}:  # noqa: ASYNC110 it shall come at the first moment
                await asyncio.sleep(0)
            taken.append(await loads.loaded_models.acquire("b"))

        taking = asyncio.create_task(take_b())
        watching = asyncio.create_task(loads.loaded_models.unload_idle())
        await taking
        await asyncio.sleep(0.5)
        unloaded.append(loads.held())
        watching.cancel()

    run(scenario)
    assert unloaded == [{"b"}]
    assert loads.order == ["a", "b"]


def test_a_failed_load_is_told_and_can_be_tried_again() -> None:
    """The error goes to who asked; the next request tries again."""
    loads = Loads()
    broken = {"a"}

    def load(name: str) -> str:
        if name in broken:
            raise OSError("disk gone")
        return name.upper()

    loads.loaded_models = LoadedModels(load, SIZES.__getitem__, 100, 0, lambda: None)

    async def scenario() -> None:
        with pytest.raises(BackendUnavailable, match="a cannot be loaded"):
            await loads.use("a")
        broken.clear()
        assert await loads.use("a") == "A"

    run(scenario)
