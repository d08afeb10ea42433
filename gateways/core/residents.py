"""Which models are in memory: loaded when first asked for, unloaded when idle and room is needed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateways.core import memory, metrics
from gateways.core.errors import BackendUnavailable

log = logging.getLogger(__name__)
M = TypeVar("M")


@dataclass(eq=False, slots=True)
class Resident(Generic[M]):
    """A loaded model, how many requests use it, and when the last one let go of it."""

    model: M
    memory_bytes: int
    users: int = 0
    used_s: float = 0.0


class Residents(Generic[M]):
    """
    Models by id, within a memory budget.

    A model in use is never unloaded, so a request in flight never fails for another's sake; one that needs room
    waits until enough models are idle. The one idle longest goes first.
    """

    def __init__(
        self,
        load: Callable[[str], M],
        memory_bytes: Callable[[str], int],
        budget_bytes: int,
        idle_s: float,
        changed: Callable[[], None],
    ) -> None:
        """Call `load` in a thread; `budget_bytes` and `idle_s` 0 mean no limit; `changed` hears of every change."""
        self._load = load
        self._memory_bytes = memory_bytes
        self._budget_bytes = budget_bytes
        self._idle_s = idle_s
        self._changed = changed
        self._loaded: dict[str, Resident[M]] = {}
        self._loading = asyncio.Lock()
        self._released = asyncio.Event()

    def get(self, model_id: str) -> M | None:
        """Return a model if it is loaded, without using it."""
        resident = self._loaded.get(model_id)
        return resident.model if resident else None

    async def acquire(self, model_id: str) -> Resident[M]:
        """Return the model, loaded, and keep it so until `release`.

        Raises BackendUnavailable when it cannot be loaded, or would never fit.
        """
        while (resident := self._loaded.get(model_id)) is None:
            await self._bring(model_id)
        resident.users += 1
        return resident

    def release(self, resident: Resident[M]) -> None:
        """Let go of what `acquire` returned."""
        resident.users -= 1
        resident.used_s = time.monotonic()
        if not resident.users:
            self._released.set()

    async def unload_idle(self) -> None:
        """Unload what nobody used for `idle_s` seconds, again and again, until cancelled."""
        while self._idle_s:
            await asyncio.sleep(min(self._idle_s, 1.0))
            old_s = time.monotonic() - self._idle_s
            for model_id in [name for name, held in self._loaded.items() if not held.users and held.used_s < old_s]:
                await self._unload(model_id, "idle")

    async def _bring(self, model_id: str) -> None:
        async with self._loading:
            if model_id in self._loaded:
                return
            needed = self._memory_bytes(model_id)
            await self._make_room(model_id, needed)
            started_s = time.monotonic()
            try:
                model = await asyncio.to_thread(self._load, model_id)
            except Exception as error:
                log.error("cannot load %s: %s: %s", model_id, type(error).__name__, error)
                raise BackendUnavailable(
                    f"{model_id} cannot be loaded; the server's log has the cause", code="model_broken"
                ) from error
            log.info("loaded %s in %.2f s", model_id, time.monotonic() - started_s)
            self._loaded[model_id] = Resident(model, needed, used_s=time.monotonic())
            metrics.model_loaded.labels(model_id).set(1)
            self._changed()

    async def _make_room(self, model_id: str, needed: int) -> None:
        if not self._budget_bytes:
            return
        if needed > self._budget_bytes:
            raise BackendUnavailable(
                f"{model_id} takes {needed / 1e6:.0f} MB and MODEL_MEMORY_MB is {self._budget_bytes / 1e6:.0f}",
                code="model_too_large",
            )
        while self._budget_bytes < needed + sum(held.memory_bytes for held in self._loaded.values()):
            idle = [name for name, held in self._loaded.items() if not held.users]
            if idle:
                await self._unload(
                    min(idle, key=lambda name: self._loaded[name].used_s), f"to make room for {model_id}"
                )
            else:
                self._released.clear()
                await self._released.wait()

    async def _unload(self, model_id: str, why: str) -> None:
        del self._loaded[model_id]
        metrics.model_loaded.labels(model_id).set(0)
        self._changed()
        log.info("unloaded %s: %s", model_id, why)
        await asyncio.to_thread(memory.give_back)
