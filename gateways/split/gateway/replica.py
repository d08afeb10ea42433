"""One embed service: its health, its models, its number of calls, and a circuit breaker."""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from gateways.core.backend import ModelInfo
from gateways.core.errors import BackendUnavailable, DeadlineExceeded, GatewayError, UpstreamFailed
from gateways.core.settings import UpstreamSettings
from gateways.split import wire_format
from gateways.split.gateway import answer_checks, http_client
from gateways.split.gateway.connection_errors import ConnectionBroken, ConnectionFailed
from gateways.split.gateway.deadline import Deadline
from gateways.split.gateway.dialects.base import Ask, Dialect

log = logging.getLogger(__name__)
T = TypeVar("T")
Models: TypeAlias = tuple[ModelInfo, ...]

PROBE_EVERY_S = 0.25
PROBE_TIMEOUT_S = 10.0
# Circuit breaker: after MAX_FAILURES failed calls in a row the replica gets no calls for PAUSE_S.
MAX_FAILURES, PAUSE_S = 3, 2.0


class Replica:
    """
    The embed service at one URL, probed continuously while it is unreachable and periodically while it is reachable.

    `reachable` is the result of the last probe or call, `calls` the number of calls in flight.
    """

    def __init__(
        self,
        url: str,
        dialect: Dialect,
        settings: UpstreamSettings,
        find_conflict: Callable[[Replica, Models], str | None],
        clock: Callable[[], float] = time.monotonic,
        draw: Callable[[], float] = random.random,
    ) -> None:
        """
        `find_conflict` returns the reason why models cannot be served beside other replicas, None if they can.

        `draw` returns a number in [0, 1) for the jitter of probes.
        """
        key = settings.embedding_api_key
        authorization = {"Authorization": f"Bearer {key}"} if key else {}
        self._timeout_s = settings.request_timeout_s
        self._client = http_client.Client(url, authorization)
        self._dialect = dialect
        self._find_conflict = find_conflict
        self._clock = clock
        self._draw = draw
        self._logged_reason = ""
        self._fingerprint = ""
        self._failures = 0
        self._paused_until_s = 0.0
        self._last_probe_s = 0.0
        self.name = self._client.name
        self.reachable = False
        self.calls = 0
        self.models: Models = ()

    def usable(self) -> bool:
        """Return True if the replica is reachable and its circuit breaker is closed."""
        return self.reachable and self._clock() >= self._paused_until_s

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    async def send(self, ask: Ask[T], deadline: Deadline) -> T:
        """
        Make one call.

        Raises the service's own error, ConnectionFailed, ConnectionBroken, BackendUnavailable, UpstreamFailed or
        DeadlineExceeded.
        """
        self.calls += 1
        # A replica that got a call late is not blamed for the deadline.
        blamed = (
            (UpstreamFailed, DeadlineExceeded) if deadline.remaining_s() > deadline.timeout_s / 2 else UpstreamFailed
        )
        try:
            answer = await self._send(ask, deadline)
        except blamed:
            self._count_failure()
            raise
        finally:
            self.calls -= 1
        self._failures = 0
        return answer

    def _count_failure(self) -> None:
        self._failures += 1
        if self._failures >= MAX_FAILURES:
            self._paused_until_s = self._clock() + PAUSE_S
            log.warning("%s failed %d times in a row: no calls for %g s", self.name, self._failures, PAUSE_S)

    async def _send(self, ask: Ask[T], deadline: Deadline | None = None) -> T:
        response = await self._exchange(ask, deadline or Deadline(self._timeout_s))
        if response.status != 200:
            raise answer_checks.error(response.status, response.body, response.retry_after_s or 1)
        if response.serving and response.serving != self._fingerprint:
            self.reachable = False
            raise BackendUnavailable("the embed service serves other models than before", retry_after_s=1)
        try:
            return ask.read(response.body)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise UpstreamFailed(f"the embed service's answer cannot be read: it {error}") from error

    async def _exchange(self, ask: Ask[T], deadline: Deadline) -> http_client.Response:
        try:
            if ask.body is None:
                return await self._client.get(ask.path, deadline.remaining_s())
            return await self._client.post(ask.path, ask.body, ask.headers, deadline.remaining_s())
        except TimeoutError:
            # It may be busy with a large call, or hang: the next probe tells.
            self._last_probe_s = -math.inf
            message = f"the embed service did not answer within {deadline.timeout_s:g} s"
            raise DeadlineExceeded(message) from None
        except http_client.ResponseTooLarge as error:
            raise UpstreamFailed(f"the embed service's answer is too large: {error}") from error
        except OSError as error:
            self.reachable = False
            kind = BackendUnavailable
            if isinstance(error, http_client.NoConnection):
                kind = ConnectionFailed
            elif isinstance(error, http_client.BrokenConnection):
                kind = ConnectionBroken
            raise kind(f"the embed service is unreachable: {error}", retry_after_s=1) from error

    async def keep_probing(self) -> None:
        """Probe the service until cancelled."""
        while True:
            if not self.reachable or self._clock() - self._last_probe_s >= self._dialect.refresh_s:
                await self.probe()
            # With jitter: several gateways that lost this service would probe it in step.
            await asyncio.sleep(PROBE_EVERY_S * (0.5 + self._draw()))

    async def probe(self) -> None:
        """Read the list of models and update `reachable`. An unreachable replica keeps its last list."""
        models: Models = ()
        reason = "it is starting"
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                models = await self._dialect.models(self._send)
            if conflict := models and self._find_conflict(self, models):
                models, reason = (), conflict
        except (GatewayError, TimeoutError, ValueError, LookupError) as error:
            reason = str(error) or "it does not answer in time"
        self.reachable = bool(models)
        self._last_probe_s = self._clock()
        if models:
            self._logged_reason, self.models = "", models
            self._fingerprint = wire_format.serving_fingerprint(models)
        else:
            # Log each reason once at INFO, not with every probe.
            level = logging.DEBUG if reason == self._logged_reason else logging.INFO
            log.log(level, "unreachable: %s: %s", self.name, reason)
            self._logged_reason = reason
