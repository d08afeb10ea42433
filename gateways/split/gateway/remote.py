"""A Backend somewhere else: what waits goes upstream as one call."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from gateways.core import metrics
from gateways.core.backend import Embeddings, Inputs, Lane, ModelInfo, TokenIds, Truncate
from gateways.core.errors import BackendUnavailable, GatewayError, InvalidRequest, TooLarge, UpstreamFailed
from gateways.core.settings import Settings
from gateways.split.gateway import dialects, http

log = logging.getLogger(__name__)

# One call computes upstream while the next is gathered here; more would only split the batches.
CALLS_IN_FLIGHT = 2
TEXTS_PER_CALL = 64
PROBE_EVERY_S = 0.25
# Errors that one request's input may have brought on all that travelled with it.
_OF_ONE_INPUT = (InvalidRequest, TooLarge, UpstreamFailed)


@dataclass(eq=False, slots=True)
class _Waiting:
    inputs: Sequence[str | TokenIds]
    truncate: Truncate
    lane: Lane
    answered: asyncio.Future[Embeddings]


class RemoteBackend:
    """
    Embed through the service at EMBEDDING_API_URL.

    Requests that wait together travel together, when they ask for the same thing; an error of such a call is
    narrowed down by sending each request alone.
    """

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        key = settings.embedding_api_key
        authorization = {"Authorization": f"Bearer {key}"} if key else {}
        self._client = http.Client(settings.embedding_api_url, authorization, settings.request_timeout_s)
        self._dialect = dialects.DIALECTS[settings.embedding_api_dialect]
        self._waiting: deque[_Waiting] = deque()
        self._models: tuple[ModelInfo, ...] = ()
        self._reachable = False
        self._calls: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        await self._probe_until_reached()
        self._probing = asyncio.create_task(self._keep_probing())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._models:
            self._probing.cancel()
        self._client.close()

    def models(self) -> Sequence[ModelInfo]:
        """Return the upstream's model, once it was reached."""
        return self._models

    def ready(self) -> bool:
        """Say whether the upstream answered last time."""
        return self._reachable

    def failure(self) -> str | None:
        """Return None: an upstream that is away may come back."""
        return None

    async def embed(
        self, model: str, inputs: Inputs, *, truncate: Truncate = "END", lane: Lane = "interactive"
    ) -> Embeddings:
        """Embed upstream. Raises what the upstream raised, BackendUnavailable, UpstreamFailed."""
        if not self._models:
            raise BackendUnavailable("the embed service was not reached yet", retry_after_s=1)
        waiting = _Waiting(inputs, truncate, lane, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        self._send_what_waits()
        answer = await waiting.answered
        metrics.embedded_texts.inc(len(answer.token_counts))
        return answer

    def _send_what_waits(self) -> None:
        if self._waiting and len(self._calls) < CALLS_IN_FLIGHT:
            call = asyncio.create_task(self._call(self._take()))
            self._calls.add(call)
            call.add_done_callback(self._called)

    def _called(self, call: asyncio.Task[None]) -> None:
        self._calls.discard(call)
        self._send_what_waits()

    def _take(self) -> list[_Waiting]:
        """Take the oldest request, and those behind it that may share its call."""
        first = self._waiting.popleft()
        taken, texts = [first], len(first.inputs)
        while self._waiting and texts < TEXTS_PER_CALL:
            following = self._waiting[0]
            texts += len(following.inputs)
            if (following.truncate, following.lane) != (first.truncate, first.lane) or texts > TEXTS_PER_CALL:
                break
            taken.append(self._waiting.popleft())
        return taken

    async def _call(self, taken: list[_Waiting]) -> None:
        try:
            answer = await self._post([item for waiting in taken for item in waiting.inputs], taken[0])
        except GatewayError as error:
            if len(taken) > 1 and isinstance(error, _OF_ONE_INPUT):
                await asyncio.gather(*(self._call([waiting]) for waiting in taken))
            else:
                for waiting in taken:
                    _settle(waiting, error)
            return
        start = 0
        for waiting in taken:
            stop = start + len(waiting.inputs)
            _settle(waiting, _part(answer, start, stop))
            start = stop

    async def _post(self, inputs: list[str | TokenIds], like: _Waiting) -> Embeddings:
        """Make one call and check its answer. Raises GatewayError of some kind, always."""
        started_s = time.perf_counter()
        path, body, headers = self._dialect.request(inputs, like.truncate, like.lane, self._settings.model)
        try:
            response = await self._client.post(path, body, headers)
        except (OSError, TimeoutError) as error:
            self._reachable = False
            raise BackendUnavailable(f"the embed service is away: {error}", retry_after_s=1) from error
        if response.status != 200:
            raise dialects.upstream_error(response.status, response.body)
        answer = self._dialect.answer(response.body)
        self._check(answer, len(inputs))
        elapsed_ms = (time.perf_counter() - started_s) * 1e3
        return Embeddings(
            answer.vectors, answer.token_counts, queue_ms=answer.queue_ms, infer_ms=answer.infer_ms or elapsed_ms
        )

    def _check(self, answer: Embeddings, n: int) -> None:
        """Let no wrong vector through: count, dimensions and finite numbers must be right."""
        dimensions = self._models[0].dimensions if self._models else answer.vectors.shape[1]
        if answer.vectors.shape != (n, dimensions):
            raise UpstreamFailed(
                f"the embed service sent vectors of shape {answer.vectors.shape}, not {(n, dimensions)}"
            )
        if not np.isfinite(answer.vectors).all():
            raise UpstreamFailed("the embed service sent a vector with NaN or infinity in it")

    async def _probe_until_reached(self) -> None:
        said = False
        while not (models := await self._probe()):
            if not said:
                log.info("waiting for the embed service at EMBEDDING_API_URL")
                said = True
            await asyncio.sleep(PROBE_EVERY_S)
        self._models = models

    async def _keep_probing(self) -> None:
        while True:
            await asyncio.sleep(PROBE_EVERY_S)
            if not self._reachable:
                await self._probe()

    async def _probe(self) -> tuple[ModelInfo, ...]:
        try:
            models = await self._dialect.models(self._client, self._settings.model, self._post_probe)
        except (OSError, TimeoutError, GatewayError, ValueError, KeyError) as error:
            log.debug("the embed service does not answer: %s", error)
            self._reachable = False
            return ()
        self._reachable = bool(models)
        return models

    async def _post_probe(self) -> Embeddings:
        future: asyncio.Future[Embeddings] = asyncio.get_running_loop().create_future()
        return await self._post(["probe"], _Waiting(["probe"], "END", "interactive", future))


def _settle(waiting: _Waiting, outcome: Embeddings | GatewayError) -> None:
    if waiting.answered.done():
        return
    if isinstance(outcome, GatewayError):
        waiting.answered.set_exception(outcome)
    else:
        waiting.answered.set_result(outcome)


def _part(answer: Embeddings, start: int, stop: int) -> Embeddings:
    counts = answer.token_counts[start:stop]
    return Embeddings(answer.vectors[start:stop], counts, queue_ms=answer.queue_ms, infer_ms=answer.infer_ms)
