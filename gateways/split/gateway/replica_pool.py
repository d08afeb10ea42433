"""The embed services behind this gateway: load balancing, failover and hedged requests."""

from __future__ import annotations

import asyncio
import logging
from typing import TypeVar

from gateways.core.backend import ModelInfo
from gateways.core.errors import (
    BackendUnavailable,
    GatewayError,
    ModelFailed,
    ModelHung,
    Overloaded,
    UpstreamFailed,
)
from gateways.core.settings import UpstreamSettings
from gateways.split import wire_format
from gateways.split.gateway.dialects import DIALECTS
from gateways.split.gateway.dialects.base import Ask
from gateways.split.gateway.replica import PROBE_EVERY_S, Models, Replica

log = logging.getLogger(__name__)
T = TypeVar("T")

# Errors after which another replica is tried. Every call is idempotent, so a second replica may get it too.
_RETRYABLE = (BackendUnavailable, Overloaded, ModelFailed, UpstreamFailed)


class ReplicaPool:
    """
    The services at EMBEDDING_API_URL. All of them serve the same models.

    A call goes to the replica with the fewest calls in flight. If it fails, each other replica is tried once. With
    HEDGE_MS a call that takes longer is sent to a second replica too, and the first answer is used.
    """

    def __init__(self, settings: UpstreamSettings) -> None:
        self.dialect = DIALECTS[settings.embedding_api_dialect](settings)
        urls = [url.strip() for url in settings.embedding_api_url.split(",") if url.strip()]
        self._replicas = [Replica(url, self.dialect, settings, self._find_conflict) for url in urls]
        self._hedge_s = settings.hedge_ms / 1e3
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

    async def send(self, ask: Ask[T]) -> T:
        """Make one call. Raises the error of the last replica tried, BackendUnavailable or UpstreamFailed."""
        attempted: list[Replica] = []
        if self._hedge_s and self.replica_count > 1:
            return await self._send_hedged(ask, attempted)
        return await self._send_with_failover(ask, attempted)

    async def _send_with_failover(self, ask: Ask[T], attempted: list[Replica]) -> T:
        """Try one replica after another until one answers. Appends each to `attempted`, and skips those in it."""
        while True:
            replica = self._select_replica(attempted)
            attempted.append(replica)
            try:
                return await replica.send(ask)
            except _RETRYABLE as error:
                if isinstance(error, ModelHung) or not self._has_alternative(attempted):
                    raise
                log.debug("failover from %s: %s", replica.name, error)

    async def _send_hedged(self, ask: Ask[T], attempted: list[Replica]) -> T:
        calls = [asyncio.create_task(self._send_with_failover(ask, attempted))]
        try:
            done, _ = await asyncio.wait(calls, timeout=self._hedge_s)
            if not done and self._has_alternative(attempted):
                calls.append(asyncio.create_task(self._send_with_failover(ask, attempted)))
            return await _first_answer(calls)
        finally:
            for call in calls:
                call.cancel()

    def _find_conflict(self, candidate: Replica, models: Models) -> str | None:
        """Return how `models` differ from another reachable replica's, None if they agree."""
        peer = next((replica for replica in self._replicas if replica is not candidate and replica.reachable), None)
        if not peer:
            return None
        difference = wire_format.model_identities(models) ^ wire_format.model_identities(peer.models)
        if not difference:
            return None
        return f"it does not serve what {peer.name} serves: {', '.join(sorted(difference))}"

    def _select_replica(self, attempted: list[Replica]) -> Replica:
        """Return the replica with the fewest calls: of the usable ones not attempted, else of all not attempted."""
        candidates = [replica for replica in self._replicas if replica not in attempted] or self._replicas
        usable = [replica for replica in candidates if replica.usable()]
        return min(usable or candidates, key=lambda replica: replica.calls)

    def _has_alternative(self, attempted: list[Replica]) -> bool:
        return any(replica.usable() for replica in self._replicas if replica not in attempted)


async def _first_answer(calls: list[asyncio.Task[T]]) -> T:
    """Return the first answer. Raises the last error if every call fails."""
    pending = set(calls)
    last_error: GatewayError | None = None
    while pending:
        done, pending = await asyncio.wait(pending, return_when=asyncio.FIRST_COMPLETED)
        for call in done:
            try:
                return call.result()
            except GatewayError as error:
                last_error = error
    assert last_error  # noqa: S101 all calls failed
    raise last_error
