"""The embed service as this gateway knows it: is it there, which models has it, and one call to it."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TypeVar

from gateways.core.backend import ModelInfo
from gateways.core.errors import BackendUnavailable, GatewayError, UpstreamFailed
from gateways.core.settings import Settings
from gateways.split.gateway import answers, http
from gateways.split.gateway.ask import Ask
from gateways.split.gateway.dialects import DIALECTS

log = logging.getLogger(__name__)
T = TypeVar("T")

PROBE_EVERY_S = 0.25
PROBE_TIMEOUT_S = 10.0


class Upstream:
    """The service at EMBEDDING_API_URL, probed while it is away, and now and then while it is not."""

    def __init__(self, settings: Settings) -> None:
        key = settings.embedding_api_key
        authorization = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = http.Client(settings.embedding_api_url, authorization, settings.request_timeout_s)
        self._probing: asyncio.Task[None] | None = None
        self._said = ""
        self.dialect = DIALECTS[settings.embedding_api_dialect](settings)
        self.reachable = False
        self.models: tuple[ModelInfo, ...] = ()
        self.dimensions: dict[str, int] = {}

    async def reach(self) -> None:
        """Return once it has told of its models, and keep asking from then on."""
        await self._probe()
        while not self.reachable:
            await asyncio.sleep(PROBE_EVERY_S)
            await self._probe()
        self._probing = asyncio.create_task(self._keep_probing())

    def close(self) -> None:
        """Ask no more, and close the connections."""
        if self._probing:
            self._probing.cancel()
        self._client.close()

    async def send(self, ask: Ask[T]) -> T:
        """Make one call. Raises what the upstream raised, BackendUnavailable, UpstreamFailed, and nothing else."""
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
        try:
            return ask.read(response.body)
        except (ValueError, TypeError, LookupError, AttributeError) as error:
            raise UpstreamFailed(f"the embed service's answer cannot be read: it {error}") from error

    async def _keep_probing(self) -> None:
        probed_s = time.monotonic()
        while True:
            await asyncio.sleep(PROBE_EVERY_S)
            if not self.reachable or time.monotonic() - probed_s >= self.dialect.refresh_s:
                await self._probe()
                probed_s = time.monotonic()

    async def _probe(self) -> None:
        """Ask for the models; those known stay known while it is away."""
        models: tuple[ModelInfo, ...] = ()
        said = "it is starting"
        try:
            async with asyncio.timeout(PROBE_TIMEOUT_S):
                models = await self.dialect.models(self.send)
        except (GatewayError, TimeoutError, ValueError, LookupError) as error:
            said = str(error) or "it does not answer in time"
        self.reachable = bool(models)
        if not models:
            # Said once for each reason, not with every probe.
            log.log(logging.DEBUG if said == self._said else logging.INFO, "no embed service yet: %s", said)
            self._said = said
            return
        self._said = ""
        self.models = models
        self.dimensions = {model.id: model.dimensions for model in models}
