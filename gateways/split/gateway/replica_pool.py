"""The embed services behind this gateway: their models, and which of them are reachable."""

from __future__ import annotations

import asyncio
from typing import TypeVar

from gateways.core.backend import Lane, ModelInfo
from gateways.core.settings import UpstreamSettings
from gateways.split import wire_format
from gateways.split.gateway.deadline import Deadline
from gateways.split.gateway.dialects import DIALECTS
from gateways.split.gateway.dialects.base import Ask, Send
from gateways.split.gateway.failover import Failover
from gateways.split.gateway.replica import PROBE_EVERY_S, Models, Replica

T = TypeVar("T")


class ReplicaPool:
    """
    The services at EMBEDDING_API_URL. All of them serve the same models.

    `Failover` decides which of them gets a call.
    """

    def __init__(self, settings: UpstreamSettings) -> None:
        self.dialect = DIALECTS[settings.embedding_api_dialect](settings)
        urls = [url.strip() for url in settings.embedding_api_url.split(",") if url.strip()]
        self._replicas = [Replica(url, self.dialect, settings, self._find_conflict) for url in urls]
        self._failover = Failover(self._replicas, settings.request_timeout_s, settings.hedge_ms / 1e3)
        self._probes: list[asyncio.Task[None]] = []
        self._models: tuple[ModelInfo, ...] = ()
        self._dimensions: dict[str, int] = {}

    @property
    def replica_count(self) -> int:
        """Return the number of replicas, reachable or not."""
        return len(self._replicas)

    @property
    def reachable(self) -> bool:
        """Return True if at least one replica is reachable."""
        return any(replica.reachable for replica in self._replicas)

    @property
    def models(self) -> tuple[ModelInfo, ...]:
        """Return the last list of models from a reachable replica; it is empty until a replica was reached."""
        models = next((replica.models for replica in self._replicas if replica.reachable), ()) or self._models
        if models is not self._models:
            self._models, self._dimensions = models, {model.id: model.dimensions for model in models}
        return models

    @property
    def dimensions(self) -> dict[str, int]:
        """Return the dimensions of each model, by id."""
        return self._dimensions if self.models else {}

    async def connect(self) -> None:
        """Start probing all replicas, and return as soon as one is reachable."""
        await asyncio.gather(*(replica.probe() for replica in self._replicas))
        self._probes = [asyncio.create_task(replica.keep_probing()) for replica in self._replicas]
        while not self.reachable:  # noqa: ASYNC110  the first of several replicas ends the wait
            await asyncio.sleep(PROBE_EVERY_S / 5)

    def close(self) -> None:
        """Stop probing, and close the connections."""
        for task in self._probes:
            task.cancel()
        for replica in self._replicas:
            replica.close()

    async def send(
        self, ask: Ask[T], deadline: Deadline | None = None, *, lane: Lane = "bulk", shared: bool = False
    ) -> T:
        """Make one call, by `deadline` or within REQUEST_TIMEOUT_S. See `Failover.send`."""
        return await self._failover.send(ask, deadline, lane, shared=shared)

    def sender(self, lane: Lane) -> Send:
        """Return `send` for calls of one lane."""
        return self._send_interactive if lane == "interactive" else self.send

    async def _send_interactive(self, ask: Ask[T]) -> T:
        return await self.send(ask, lane="interactive")

    def _find_conflict(self, candidate: Replica, models: Models) -> str | None:
        """Return how `models` differ from another reachable replica's, None if they agree."""
        peer = next((replica for replica in self._replicas if replica is not candidate and replica.reachable), None)
        if not peer:
            return None
        difference = wire_format.model_identities(models) ^ wire_format.model_identities(peer.models)
        if not difference:
            return None
        return f"it does not serve what {peer.name} serves: {', '.join(sorted(difference))}"
