"""The embed services behind this gateway: which one gets a call, and who is asked when one fails."""

from __future__ import annotations

import asyncio
import logging
from typing import TypeVar

from gateways.core import wire
from gateways.core.backend import ModelInfo
from gateways.core.errors import (
    BackendUnavailable,
    GatewayError,
    ModelFailed,
    ModelHung,
    Overloaded,
    UpstreamFailed,
)
from gateways.core.settings import Settings
from gateways.split.gateway.ask import Ask
from gateways.split.gateway.dialects import DIALECTS
from gateways.split.gateway.replica import PROBE_EVERY_S, Models, Replica

log = logging.getLogger(__name__)
T = TypeVar("T")

# What another service might do better. All that is asked of one changes nothing there, so it may be asked twice.
_ELSEWHERE = (BackendUnavailable, Overloaded, ModelFailed, UpstreamFailed)


class Upstream:
    """
    The services at EMBEDDING_API_URL, which all serve the same models.

    A call goes to the one that is at the fewest; where it fails, to each of the others once. With HEDGE_MS a second
    one is asked as well when the first takes longer, and the first answer counts.
    """

    def __init__(self, settings: Settings) -> None:
        self.dialect = DIALECTS[settings.embedding_api_dialect](settings)
        urls = [url.strip() for url in settings.embedding_api_url.split(",") if url.strip()]
        self._replicas = [Replica(url, self.dialect, settings, self._differs) for url in urls]
        self._hedge_s = settings.hedge_ms / 1e3
        self._probing: list[asyncio.Task[None]] = []
        self._told: tuple[ModelInfo, ...] = ()
        self._dimensions: dict[str, int] = {}

    @property
    def services(self) -> int:
        """Return how many there are, there or not."""
        return len(self._replicas)

    @property
    def reachable(self) -> bool:
        """Say whether one of them is there."""
        return any(replica.reachable for replica in self._replicas)

    @property
    def models(self) -> tuple[ModelInfo, ...]:
        """Return the models as one that is there told of them last, nothing until one was reached."""
        told = next((one.models for one in self._replicas if one.reachable), ()) or self._told
        if told is not self._told:
            self._told, self._dimensions = told, {model.id: model.dimensions for model in told}
        return told

    @property
    def dimensions(self) -> dict[str, int]:
        """Return the dimensions of each model."""
        return self._dimensions if self.models else {}

    async def reach(self) -> None:
        """Return once one of them has told of its models, and keep asking from then on."""
        await asyncio.gather(*(replica.probe() for replica in self._replicas))
        self._probing = [asyncio.create_task(replica.keep_probing()) for replica in self._replicas]
        while not self.reachable:  # noqa: ASYNC110  whichever comes first
            await asyncio.sleep(PROBE_EVERY_S / 5)

    def close(self) -> None:
        """Ask no more, and close the connections."""
        for task in self._probing:
            task.cancel()
        for replica in self._replicas:
            replica.close()

    async def send(self, ask: Ask[T]) -> T:
        """Make one call. Raises what the last one asked raised, BackendUnavailable, UpstreamFailed, nothing else."""
        asked: list[Replica] = []
        if self._hedge_s and self.services > 1:
            return await self._hedged(ask, asked)
        return await self._anywhere(ask, asked)

    async def _anywhere(self, ask: Ask[T], asked: list[Replica]) -> T:
        """Ask one after the other, none of those in `asked`, until one answers."""
        while True:
            replica = self._next(asked)
            asked.append(replica)
            try:
                return await replica.send(ask)
            except _ELSEWHERE as error:
                if isinstance(error, ModelHung) or not self._another(asked):
                    raise
                log.debug("asked elsewhere: %s: %s", replica.name, error)

    async def _hedged(self, ask: Ask[T], asked: list[Replica]) -> T:
        first = asyncio.create_task(self._anywhere(ask, asked))
        calls = [first]
        try:
            done, _ = await asyncio.wait(calls, timeout=self._hedge_s)
            if not done and self._another(asked):
                calls.append(asyncio.create_task(self._anywhere(ask, asked)))
            return await _first_of(calls)
        finally:
            for call in calls:
                call.cancel()

    def _differs(self, asked: Replica, models: Models) -> str | None:
        """Return how one service's models differ from those of the others that are there: vectors would be mixed."""
        others = [one for one in self._replicas if one is not asked and one.reachable]
        if not others or not (mixed := wire.identities(models) ^ wire.identities(others[0].models)):
            return None
        return f"it does not serve what {others[0].name} serves: {', '.join(sorted(mixed))}"

    def _next(self, asked: list[Replica]) -> Replica:
        """Return who is asked next: who is at the fewest calls, of those usable, else of those not asked yet."""
        left = [replica for replica in self._replicas if replica not in asked] or self._replicas
        return min([one for one in left if one.usable()] or left, key=lambda one: one.calls)

    def _another(self, asked: list[Replica]) -> bool:
        return any(replica.usable() for replica in self._replicas if replica not in asked)


async def _first_of(calls: list[asyncio.Task[T]]) -> T:
    """Return the first answer; the last error when there is none."""
    waiting = set(calls)
    error: GatewayError | None = None
    while waiting:
        done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        for call in done:
            try:
                return call.result()
            except GatewayError as failed:
                error = failed
    assert error  # noqa: S101 all of them failed
    raise error
