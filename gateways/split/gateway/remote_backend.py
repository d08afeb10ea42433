"""A Backend somewhere else: the embed services at EMBEDDING_API_URL."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence, Sized
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from typing import Self

from gateways.core.backend import (
    DEFAULT_OPTIONS,
    Embeddings,
    EncodeOptions,
    Inputs,
    Lane,
    ModelInfo,
    Scores,
    Span,
    SparseEmbeddings,
    Token,
    lane_of,
)
from gateways.core.errors import BackendUnavailable, GatewayError
from gateways.core.observability import metrics, stage_timing
from gateways.core.settings import UpstreamSettings
from gateways.split.gateway import answer_checks
from gateways.split.gateway.admission import CHARACTERS_PER_TOKEN, Backlog
from gateways.split.gateway.call_batcher import CallBatcher
from gateways.split.gateway.deadline import Deadline
from gateways.split.gateway.http_client import IDLE_CONNECTIONS
from gateways.split.gateway.replica_pool import ReplicaPool

# Calls that share nothing, of one model: as many as keep their connections.
CALLS_IN_FLIGHT = IDLE_CONNECTIONS


class RemoteBackend:
    """
    Ask the embed service for everything: for vectors in calls that requests share, for all else in one call each.

    Whatever a dialect sends, an answer is checked before it goes any further.
    """

    def __init__(self, settings: UpstreamSettings) -> None:
        self._upstream = ReplicaPool(settings)
        self._dialect = self._upstream.dialect
        self._timeout_s = settings.request_timeout_s
        self._backlog = Backlog(
            settings.max_queue_tokens,
            settings.max_batch_tokens,
            settings.max_wait_ms / 1e3,
            settings.max_bulk_wait_ms / 1e3,
        )
        # By model, so that nobody waits while another is loaded upstream; by lane, so that no query does for bulk.
        self._shared: dict[tuple[str, Lane, bool, bool], CallBatcher] = {}
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(CALLS_IN_FLIGHT))

    async def __aenter__(self) -> Self:
        await self._upstream.connect()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._upstream.close()

    def models(self) -> Sequence[ModelInfo]:
        """Return the upstream's models as it told of them last, once it was reached."""
        return self._upstream.models

    def ready(self) -> bool:
        """Say whether the upstream answered last time."""
        return self._upstream.reachable

    def failure(self) -> str | None:
        """Return None: an upstream that is away may come back."""
        return None

    def refusal(self, within_s: float, before_bytes: int = 0) -> GatewayError | None:
        """Return what a query that may take so long would be refused with now."""
        return self._backlog.refusal("interactive", within_s=within_s, before=before_bytes)

    async def embed(self, model: str, inputs: Inputs, options: EncodeOptions = DEFAULT_OPTIONS) -> Embeddings:
        """Embed upstream, together with what else waits for this model."""
        return await self._embed(model, inputs, options, rows_are_tokens=False)

    async def embed_tokens(self, model: str, inputs: Inputs, options: EncodeOptions = DEFAULT_OPTIONS) -> Embeddings:
        """Embed every token upstream, together with what else waits for this model."""
        return await self._embed(model, inputs, options, rows_are_tokens=True)

    async def embed_sparse(
        self, model: str, inputs: Inputs, options: EncodeOptions = DEFAULT_OPTIONS
    ) -> SparseEmbeddings:
        """Weigh the vocabulary upstream."""
        started_s = time.perf_counter()
        options, lane = _with_lane(options, inputs)
        async with self._slot(model, inputs, lane):
            parts = [
                await self._dialect.embed_sparse(self._upstream.sender(lane), model, part, options)
                for part in _parts(inputs, self._dialect.most_inputs)
            ]
        answer = parts[0] if len(parts) == 1 else answer_checks.join_sparse_parts(parts)
        stage_timing.took("upstream", started_s, time.perf_counter(), model)
        answer_checks.check_sparse(answer, len(inputs), self._upstream.dimensions.get(model))
        metrics.embedded_texts.inc(len(inputs))
        return answer

    async def rerank(
        self, model: str, query: str, documents: Sequence[str], options: EncodeOptions = DEFAULT_OPTIONS
    ) -> Scores:
        """Score upstream."""
        started_s = time.perf_counter()
        options, lane = _with_lane(options, [query, *documents])
        async with self._slot(model, documents, lane):
            scores = await self._dialect.rerank(self._upstream.sender(lane), model, query, documents, options)
        stage_timing.took("upstream", started_s, time.perf_counter(), model)
        answer_checks.check_scores(scores, len(documents))
        return scores if scores.infer_ms else answer_checks.add_duration(scores, started_s)

    async def tokenize(self, model: str, texts: Sequence[str]) -> list[list[Token]]:
        """Tokenise upstream."""
        async with self._slot(model, texts):
            found = await self._dialect.tokenize(self._upstream.sender("interactive"), model, texts)
        answer_checks.check_tokens(found, texts)
        return found

    async def chunk(self, model: str, texts: Sequence[str], max_tokens: int, overlap: int) -> list[list[Span]]:
        """Cut upstream."""
        async with self._slot(model, texts):
            found = await self._dialect.chunk(self._upstream.send, model, texts, max_tokens, overlap)
        answer_checks.check_chunks(found, texts)
        return found

    @asynccontextmanager
    async def _slot(self, model: str, inputs: Sequence[Sized], lane: Lane = "interactive") -> AsyncIterator[None]:
        """Wait for one of this model's calls. Raises Overloaded."""
        with self._backlog.holding(_length(inputs), lane):
            async with self._slots[model]:
                yield

    async def _embed(
        self, model: str, inputs: Inputs, options: EncodeOptions, *, rows_are_tokens: bool
    ) -> Embeddings:
        if not self._upstream.models:
            raise BackendUnavailable("the embed service was not reached yet", retry_after_s=1)
        options, lane = _with_lane(options, inputs)
        shared = self._shared_calls(model, lane, rows_are_tokens, options.tokens)
        started_s = time.perf_counter()
        with self._backlog.holding(_length(inputs), lane):
            if len(inputs) <= self._dialect.most_inputs:
                answer = await shared.embed(inputs, options)
            else:
                parts = [shared.embed(part, options) for part in _parts(inputs, self._dialect.most_inputs)]
                answer = answer_checks.join_parts(await asyncio.gather(*parts))
        metrics.embedded_texts.inc(len(inputs))
        stage_timing.took("upstream", started_s, time.perf_counter(), model)
        return answer

    def _shared_calls(self, model: str, lane: Lane, rows_are_tokens: bool, tokens: bool) -> CallBatcher:
        """Return the batcher of calls for one kind of vectors of one model, in one lane."""
        key = model, lane, rows_are_tokens, tokens
        if key not in self._shared:
            self._shared[key] = CallBatcher(
                partial(self._post, model, rows_are_tokens),
                timeout_s=self._timeout_s,
                rows_are_tokens=rows_are_tokens,
                max_inputs=self._dialect.most_inputs,
                replica_count=self._upstream.replica_count,
            )
        return self._shared[key]

    async def _post(
        self,
        model: str,
        rows_are_tokens: bool,
        inputs: Inputs,
        options: EncodeOptions,
        deadline: Deadline,
        *,
        shared: bool,
    ) -> Embeddings:
        """Make one call for vectors and check its answer. Raises GatewayError of some kind, always."""
        started_s = time.perf_counter()
        ask = (self._dialect.embed_tokens if rows_are_tokens else self._dialect.embed)(model, inputs, options)
        answer = await self._upstream.send(ask, deadline, lane=options.lane or "bulk", shared=shared)
        dimensions = self._upstream.dimensions.get(model)
        answer_checks.check_vectors(answer, len(inputs), dimensions, rows_are_tokens=rows_are_tokens)
        return answer if answer.infer_ms else answer_checks.add_duration(answer, started_s)


def _parts(inputs: Inputs, most: int) -> list[Inputs]:
    """Cut inputs into parts of at most `most`, the limit of a call: an ingest may embed more at once."""
    return [inputs[start : start + most] for start in range(0, len(inputs), most)]


def _with_lane(options: EncodeOptions, inputs: Sequence[Sized]) -> tuple[EncodeOptions, Lane]:
    """Return the options with a lane, by length if they have none, and that lane."""
    lane = options.lane or lane_of(_length(inputs) // CHARACTERS_PER_TOKEN)
    return replace(options, lane=lane), lane


def _length(inputs: Sequence[Sized]) -> int:
    return sum(map(len, inputs))
