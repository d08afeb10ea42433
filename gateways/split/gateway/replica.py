"""One embed service: is it there, which models has it, how busy is it, and one call to it."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TypeAlias, TypeVar

from gateways.core import wire
from gateways.core.backend import ModelInfo
from gateways.core.errors import BackendUnavailable, GatewayError, UpstreamFailed
from gateways.core.settings import Settings
from gateways.split.gateway import answers, http
from gateways.split.gateway.ask import Ask, Dialect

log = logging.getLogger(__name__)
T = TypeVar("T")
Models: TypeAlias = tuple[ModelInfo, ...]

PROBE_EVERY_S = 0.25
PROBE_TIMEOUT_S = 10.0
# After so many useless answers in a row it gets no calls for a while, and then one to show that it does better.
MOST_USELESS, REST_S = 3, 2.0


class Replica:
    """
    The service at one URL, probed while it is away, and now and then while it is not.

    `reachable` is what the last probe or call saw of its port, `calls` how many it is at.
    """

    def __init__(
        self, url: str, dialect: Dialect, settings: Settings, differs: Callable[[Replica, Models], str | None]
    ) -> None:
        """Ask `differs` why it cannot serve beside the others with the models that it tells of."""
        key = settings.embedding_api_key
        authorization = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = http.Client(url, authorization, settings.request_timeout_s)
        self._dialect = dialect
        self._differs = differs
        self._said = ""
        self._serving = ""
        self._useless = 0
        self._resting_until_s = 0.0
        self._probed_s = 0.0
        self.name = self._client.name
        self.reachable = False
        self.calls = 0
        self.models: Models = ()

    def usable(self) -> bool:
        """Say whether it is there, and its answers were of use lately."""
        return self.reachable and time.monotonic() >= self._resting_until_s

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    async def send(self, ask: Ask[T]) -> T:
        """Make one call. Raises what the service raised, BackendUnavailable, UpstreamFailed, and nothing else."""
        self.calls += 1
        try:
            answer = await self._send(ask)
        except UpstreamFailed:
            self._useless += 1
            if self._useless >= MOST_USELESS:
                self._resting_until_s = time.monotonic() + REST_S
                log.warning("%s failed %d times in a row: no calls for %g s", self.name, self._useless, REST_S)
            raise
        finally:
            self.calls -= 1
        self._useless = 0
        return answer

    async def _send(self, ask: Ask[T]) -> T:
        try:
            if ask.body is None:
                response = await self._client.get(ask.path)
            else:
                response = await self._client.post(ask.path, ask.body, ask.headers)
        except (OSError, TimeoutError) as error:
            self.reachable = False
            raise BackendUnavailable(f"the embed service is away: {error}", retry_after_s=1) from error
        if response.status != 200:
            raise answers.error(response.status, response.body, response.retry_after_s or 1)
        if response.serving and response.serving != self._serving:
            self.reachable = False
            raise BackendUnavailable("the embed service serves other models than before", retry_after_s=1)
        try:
            return ask.read(response.body)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise UpstreamFailed(f"the embed service's answer cannot be read: it {error}") from error

    async def keep_probing(self) -> None:
        """Probe it until cancelled."""
        while True:
            if not self.reachable or time.monotonic() - self._probed_s >= self._dialect.refresh_s:
                await self.probe()
            await asyncio.sleep(PROBE_EVERY_S)

    async def probe(self) -> None:
        """Ask for the models; those known stay known while it is away."""
        models: Models = ()
        said = "it is starting"
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                models = await self._dialect.models(self._send)
            if why := models and self._differs(self, models):
                models, said = (), why
        except (GatewayError, TimeoutError, ValueError, LookupError) as error:
            said = str(error) or "it does not answer in time"
        self.reachable = bool(models)
        self._probed_s = time.monotonic()
        if models:
            self._said, self.models, self._serving = "", models, wire.serving(models)
        else:
            # Said once for each reason, not with every probe.
            log.log(logging.DEBUG if said == self._said else logging.INFO, "not there: %s: %s", self.name, said)
            self._said = said
