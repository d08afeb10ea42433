"""A Backend around a Model in this process: tokenise, queue, encode on the model threads."""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Protocol, Self

from gateways.core import metrics
from gateways.core.backend import F32, Embeddings, Inputs, Lane, ModelInfo, TokenIds, Truncate
from gateways.core.batcher import Batcher
from gateways.core.errors import BackendUnavailable
from gateways.core.settings import Settings

# Longer requests are tokenised in a thread: the hand-over costs less than the loop would be held up.
INLINE_CHARACTERS = 4_000
WARM_UP = "a warm question of about sixteen tokens, to measure the time of one pass"


class Model(Protocol):
    """What a gateway folder brings: sync, called from many threads."""

    @property
    def info(self) -> ModelInfo:
        """Describe the model as loaded."""
        ...

    def tokenize(self, inputs: Inputs, truncate: Truncate) -> list[TokenIds]:
        """Return n token lists, special tokens included, none longer than the model reads."""
        ...

    def encode(self, batch: Sequence[TokenIds]) -> F32:
        """Return the pooled vectors of n token lists, float32 (n, dimensions), not normalised."""
        ...


class LocalBackend:
    """Serve one model from `load`, which runs in a thread when the backend is entered."""

    def __init__(self, load: Callable[[], Model], settings: Settings) -> None:
        self._load = load
        self._settings = settings
        self._model: Model | None = None
        self._infos: tuple[ModelInfo, ...] = ()

    async def __aenter__(self) -> Self:
        model = await asyncio.to_thread(self._load)
        settings = self._settings
        self._batcher = Batcher(
            model.encode,
            dimensions=model.info.dimensions,
            threads=settings.cores(),
            max_batch_tokens=settings.max_batch_tokens,
            max_queue_tokens=settings.max_queue_tokens,
        )
        self._batcher.start()
        self._model = model
        inference_time_ms = min([await self._warm_up_ms() for _ in range(3)])
        self._infos = (dataclasses.replace(model.info, inference_time_ms=round(inference_time_ms, 2)),)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._model:
            await self._batcher.close()

    def models(self) -> Sequence[ModelInfo]:
        """Return the one model, once it is warm."""
        return self._infos

    def ready(self) -> bool:
        """Say whether the model is warm and its threads live."""
        return bool(self._infos) and not self.failure()

    def failure(self) -> str | None:
        """Return which model thread died, if one did."""
        return self._batcher.failure() if self._model else None

    async def embed(
        self, model: str, inputs: Inputs, *, truncate: Truncate = "END", lane: Lane = "interactive"
    ) -> Embeddings:
        """Embed as Backend says; a request longer than one batch always takes the bulk lane."""
        if not self._model:
            raise BackendUnavailable("the model is loading; /readyz tells when it is ready", retry_after_s=1)
        started_s = time.perf_counter()
        characters = sum(map(len, inputs))
        if characters > INLINE_CHARACTERS:
            batch = await asyncio.to_thread(self._model.tokenize, inputs, truncate)
        else:
            batch = self._model.tokenize(inputs, truncate)
        counts = [len(ids) for ids in batch]
        ticket = await self._batcher.submit(batch, "bulk" if sum(counts) > self._settings.max_batch_tokens else lane)
        metrics.embedded_texts.inc(len(counts))
        return Embeddings(
            vectors=ticket.vectors,
            token_counts=counts,
            tokenize_ms=(ticket.queued_s - started_s) * 1e3,
            queue_ms=(ticket.started_s - ticket.queued_s) * 1e3,
            infer_ms=(ticket.finished_s - ticket.started_s) * 1e3,
        )

    async def _warm_up_ms(self) -> float:
        started_s = time.perf_counter()
        await self.embed("", [WARM_UP])
        return (time.perf_counter() - started_s) * 1e3
