"""Load balancing over replicas, failover and hedged requests, all within one deadline and a retry budget."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from gateways.core.backend import Lane
from gateways.core.errors import (
    BackendUnavailable,
    GatewayError,
    ModelCrashed,
    ModelFailed,
    ModelHung,
    Overloaded,
    UpstreamFailed,
)
from gateways.core.observability import metrics
from gateways.split.gateway.connection_errors import ConnectionBroken, ConnectionFailed
from gateways.split.gateway.crash_log import CrashLog
from gateways.split.gateway.deadline import Deadline
from gateways.split.gateway.dialects.base import Ask
from gateways.split.gateway.replica import Replica
from gateways.split.gateway.retry_budget import RetryBudget

log = logging.getLogger(__name__)
T = TypeVar("T")

# Errors after which another replica is tried. Every call is idempotent, so a second replica may get it too.
_RETRYABLE = (BackendUnavailable, Overloaded, ModelFailed, UpstreamFailed)
# A call that broke two connections after it was sent is taken for the cause.
MAX_CRASHES = 2
# Failovers: a fifth of the calls, one per second, and as many at once as one dying replica has calls in flight.
FAILOVERS, FAILOVERS_PER_CALL, FAILOVERS_PER_S = 20, 0.2, 1.0
# Hedged requests: a twentieth of the calls.
HEDGES, HEDGES_PER_CALL = 10, 0.05


@dataclass(slots=True)
class _Call(Generic[T]):
    """
    One call and its attempts.

    `shared` calls hold several requests. `overloaded` is True once a replica refused the call, `hedged` once a second
    one got it beside the first, `alone` while no other suspect call is sent.
    """

    ask: Ask[T]
    deadline: Deadline
    shared: bool
    attempted: list[Replica] = field(default_factory=list)
    overloaded: bool = False
    hedged: bool = False
    alone: bool = False

    def content(self) -> bytes:
        """Return bytes that are equal when this call is made again."""
        return self.ask.path.encode() + b" " + (self.ask.body or b"")


class Failover:
    """
    Sends each call to the replica with the fewest calls in flight, and to another one if it fails or is slow.

    A call that kills its service looks like a service that is restarted: the connection breaks after the call was
    sent. The number of breaks tells them apart, counted over all attempts of equal calls within ten minutes. The
    first break is BackendUnavailable, and one other replica gets the call. The second one is ModelCrashed. An answer
    sets the count to zero. A call with a break is sent while no other such call is, or the guilty one would break the
    connections of the others again. Refused connections do not count, and neither do shared calls: their requests
    are sent again one by one.
    """

    def __init__(self, replicas: Sequence[Replica], timeout_s: float, hedge_s: float) -> None:
        """Each call has `timeout_s` for all its attempts. After `hedge_s` a slow one is hedged, with 0 none is."""
        self._replicas = replicas
        self._timeout_s = timeout_s
        self._hedge_s = hedge_s if len(replicas) > 1 else 0.0
        self._failover_budget = RetryBudget(FAILOVERS, per_call=FAILOVERS_PER_CALL, per_s=FAILOVERS_PER_S)
        self._hedge_budget = RetryBudget(HEDGES, per_call=HEDGES_PER_CALL)
        self._crashes = CrashLog()
        self._suspects = asyncio.Lock()

    async def send(self, ask: Ask[T], deadline: Deadline | None, lane: Lane, *, shared: bool) -> T:
        """
        Make one call. Only calls of the interactive lane are hedged.

        Raises the error of the last replica tried, DeadlineExceeded, ModelCrashed, or ConnectionBroken if a `shared`
        call broke a connection.
        """
        call = _Call(ask, deadline or Deadline(self._timeout_s), shared)
        self._failover_budget.record_call()
        self._hedge_budget.record_call()
        if self._crashes and self._crashes.count(call.content()):
            async with self._alone(call):
                return await self._send_with_failover(call)
        if self._hedge_s and lane == "interactive":
            return await self._send_hedged(call)
        return await self._send_with_failover(call)

    async def _send_with_failover(self, call: _Call[T]) -> T:
        """Try one replica after another until one answers, or the call may not be tried again."""
        while True:
            try:
                return await self._attempt(call)
            except _RETRYABLE as error:
                if not self._may_fail_over(call, error):
                    raise
                log.debug("failover from %s: %s", call.attempted[-1].name, error)
                metrics.failovers.inc()
                if isinstance(error, ConnectionBroken):
                    async with self._alone(call):
                        return await self._send_with_failover(call)

    async def _send_hedged(self, call: _Call[T]) -> T:
        calls = [asyncio.create_task(self._send_with_failover(call))]
        try:
            done, _ = await asyncio.wait(calls, timeout=self._hedge_s)
            if not done and self._may_hedge(call):
                call.hedged = True
                metrics.hedged_calls.inc()
                calls.append(asyncio.create_task(self._attempt(call)))
            return await _first_answer(calls)
        finally:
            for task in calls:
                task.cancel()

    async def _attempt(self, call: _Call[T]) -> T:
        """Send a call to the best replica that it was not sent to. Raises ModelCrashed if it broke too often."""
        replica = self._select_replica(call.attempted)
        call.attempted.append(replica)
        try:
            answer = await replica.send(call.ask, call.deadline)
        except Overloaded:
            call.overloaded = True
            raise
        except ConnectionBroken as error:
            if not call.shared and self._crashes.record(call.content()) >= MAX_CRASHES:
                log.error("%s broke connections to embed services %d times in a row", call.ask.path, MAX_CRASHES)
                message = f"the embed service died {MAX_CRASHES} times while it worked on this request"
                raise ModelCrashed(message) from error
            raise
        if self._crashes:
            self._crashes.forget(call.content())
        return answer

    @asynccontextmanager
    async def _alone(self, call: _Call[T]) -> AsyncIterator[None]:
        """Wait until no other suspect call is sent. Raises BackendUnavailable at the deadline."""
        try:
            async with asyncio.timeout(call.deadline.remaining_s()):
                await self._suspects.acquire()
        except TimeoutError:
            raise BackendUnavailable(
                "an embed service died, and other requests come first", retry_after_s=1
            ) from None
        try:
            call.alone = True
            yield
        finally:
            self._suspects.release()

    def _may_fail_over(self, call: _Call[T], error: GatewayError) -> bool:
        if isinstance(error, ModelHung | ModelCrashed) or not self._has_alternative(call):
            return False
        if isinstance(error, ConnectionBroken) and (call.shared or call.alone or call.hedged):
            return False
        # A call that was not sent made no work, so the budget does not limit it.
        return isinstance(error, ConnectionFailed) or self._failover_budget.take()

    def _may_hedge(self, call: _Call[T]) -> bool:
        """Return True if a second replica may get the call too. More load does not help one that is overloaded."""
        if call.overloaded or call.alone or not self._has_alternative(call):
            return False
        return self._hedge_budget.take()

    def _select_replica(self, attempted: Sequence[Replica]) -> Replica:
        """Return the replica with the fewest calls: of the usable ones not attempted, else of all not attempted."""
        candidates = [replica for replica in self._replicas if replica not in attempted] or self._replicas
        usable = [replica for replica in candidates if replica.usable()]
        return min(usable or candidates, key=lambda replica: replica.calls)

    def _has_alternative(self, call: _Call[T]) -> bool:
        """Return True if time and a usable replica are left."""
        others = (replica for replica in self._replicas if replica not in call.attempted)
        return call.deadline.remaining_s() > 0 and any(replica.usable() for replica in others)


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
