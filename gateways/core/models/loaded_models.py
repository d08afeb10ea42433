"""Loaded models: loaded on first use, unloaded when idle and their memory is needed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

from gateways.core.errors import BackendUnavailable
from gateways.core.host import memory
from gateways.core.observability import metrics

log = logging.getLogger(__name__)
M = TypeVar("M")


@dataclass(eq=False, slots=True)
class LoadedModel(Generic[M]):
    """A loaded model, the number of requests that use it, and the time of the last release."""

    model: M
    memory_bytes: int
    users: int = 0
    used_s: float = 0.0


class LoadedModels(Generic[M]):
    """
    Loaded models by id, within a memory budget.

    A model in use is never unloaded. A model that needs memory waits until enough others are idle. The model that
    was idle longest is unloaded first.
    """

    def __init__(
        self,
        load: Callable[[str], M],
        memory_bytes: Callable[[str], int],
        budget_bytes: int,
        idle_s: float,
        changed: Callable[[], None],
    ) -> None:
        """Call `load` in a thread, `changed` after every change. 0 for `budget_bytes` or `idle_s` means no limit."""
        self._load = load
        self._memory_bytes = memory_bytes
        self._budget_bytes = budget_bytes
        self._idle_s = idle_s
        self._changed = changed
        self._loaded: dict[str, LoadedModel[M]] = {}
        self._loading = asyncio.Lock()
        self._loads: dict[str, asyncio.Task[None]] = {}
        self._released = asyncio.Event()

    def get(self, model_id: str) -> M | None:
        """Return a model if it is loaded, else None; it does not count as used."""
        loaded_model = self._loaded.get(model_id)
        return loaded_model.model if loaded_model else None

    async def acquire(self, model_id: str) -> LoadedModel[M]:
        """
        Return the model, and keep it loaded until `release`.

        A load goes on when the request that asked for it is cancelled: the next request finds the model loaded.
        Raises BackendUnavailable if the model cannot be loaded or is larger than the budget.
        """
        while (loaded_model := self._loaded.get(model_id)) is None:
            await asyncio.shield(self._start_load(model_id))
        loaded_model.users += 1
        return loaded_model

    def release(self, loaded_model: LoadedModel[M]) -> None:
        """Release the result of `acquire`."""
        loaded_model.users -= 1
        loaded_model.used_s = time.monotonic()
        if not loaded_model.users:
            self._released.set()

    async def unload_idle(self) -> None:
        """Unload models that were idle for `idle_s` seconds; run until cancelled."""
        while self._idle_s:
            await asyncio.sleep(min(self._idle_s, 1.0))
            oldest_s = time.monotonic() - self._idle_s
            for model_id, held in list(self._loaded.items()):
                # Each unloading waits, so another one may be in use again by now, or already be unloaded.
                unused = self._loaded.get(model_id) is held and not held.users
                if unused and held.used_s < oldest_s:
                    await self._unload(model_id, "idle")

    def _start_load(self, model_id: str) -> asyncio.Task[None]:
        """Return the task that loads a model; all requests for the model share it."""
        task = self._loads.get(model_id)
        if task is None:
            task = self._loads[model_id] = asyncio.create_task(self._load_once(model_id))
            task.add_done_callback(lambda ended: self._end_load(model_id, ended))
        return task

    def _end_load(self, model_id: str, task: asyncio.Task[None]) -> None:
        del self._loads[model_id]
        if not task.cancelled():
            task.exception()  # logged already; without this line asyncio reports it when nobody waits any more

    async def _load_once(self, model_id: str) -> None:
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
            self._loaded[model_id] = LoadedModel(model, needed, used_s=time.monotonic())
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
