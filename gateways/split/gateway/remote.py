"""A Backend somewhere else: the embed services at EMBEDDING_API_URL."""

from __future__ import annotations

import asyncio
import time
from collections import defaultdict
from collections.abc import AsyncIterator, Sequence, Sized
from contextlib import asynccontextmanager
from functools import partial
from typing import Self

from gateways.core import metrics, stages
from gateways.core.backend import (
    Embeddings,
    Inputs,
    Lane,
    ModelInfo,
    Scores,
    Span,
    SparseEmbeddings,
    Token,
    Truncate,
    lane_of,
)
from gateways.core.errors import BackendUnavailable, GatewayError
from gateways.core.settings import Settings
from gateways.split.gateway import answers
from gateways.split.gateway.backlog import CHARACTERS_PER_TOKEN, Backlog
from gateways.split.gateway.http import IDLE_CONNECTIONS
from gateways.split.gateway.sharing import Sharing
from gateways.split.gateway.upstream import Upstream

# Calls that share nothing, of one model: as many as keep their connections.
CALLS_IN_FLIGHT = IDLE_CONNECTIONS


class RemoteBackend:
    """
    Ask the embed service for everything.

    Vectors are asked for in calls that requests share, all else in one call each. Whatever a dialect sends, an
    answer is checked before it goes any further.
    """

    def __init__(self, settings: Settings) -> None:
        self._upstream = Upstream(settings)
        self._dialect = self._upstream.dialect
        self._backlog = Backlog(
            settings.max_queue_tokens,
            settings.max_batch_tokens,
            settings.max_wait_ms / 1e3,
            settings.max_bulk_wait_ms / 1e3,
        )
        # By model, so that nobody waits while another is loaded upstream; by lane, so that no query does for bulk.
        self._shared: dict[tuple[str, Lane, bool, bool], Sharing] = {}
        self._slots: defaultdict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(CALLS_IN_FLIGHT))

    async def __aenter__(self) -> Self:
        await self._upstream.reach()
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

    async def embed(
        self,
        model: str,
        inputs: Inputs,
        *,
        truncate: Truncate = "END",
        lane: Lane | None = None,
        tokens: bool = False,
    ) -> Embeddings:
        """Embed upstream, together with what else waits for this model."""
        return await self._embed(model, inputs, truncate, lane, rows_are_tokens=False, tokens=tokens)

    async def embed_tokens(
        self, model: str, inputs: Inputs, *, truncate: Truncate = "END", lane: Lane | None = None
    ) -> Embeddings:
        """Embed every token upstream, together with what else waits for this model."""
        return await self._embed(model, inputs, truncate, lane, rows_are_tokens=True)

    async def embed_sparse(
        self, model: str, inputs: Inputs, *, truncate: Truncate = "END", lane: Lane | None = None
    ) -> SparseEmbeddings:
        """Weigh the vocabulary upstream."""
        started_s = time.perf_counter()
        lane = lane or _lane(inputs)
        async with self._slot(model, inputs, lane):
            parts = [
                await self._dialect.embed_sparse(self._upstream.send, model, part, truncate, lane)
                for part in self._parts(inputs)
            ]
        answer = parts[0] if len(parts) == 1 else answers.joined_sparse(parts)
        stages.took("upstream", started_s, time.perf_counter(), model)
        answers.check_sparse(answer, len(inputs), self._upstream.dimensions.get(model))
        metrics.embedded_texts.inc(len(inputs))
        return answer

    async def rerank(
        self,
        model: str,
        query: str,
        documents: Sequence[str],
        *,
        truncate: Truncate = "END",
        lane: Lane | None = None,
    ) -> Scores:
        """Score upstream."""
        started_s = time.perf_counter()
        lane = lane or _lane([query, *documents])
        async with self._slot(model, documents, lane):
            scores = await self._dialect.rerank(self._upstream.send, model, query, documents, truncate, lane)
        stages.took("upstream", started_s, time.perf_counter(), model)
        answers.check_scores(scores, len(documents))
        return scores if scores.infer_ms else answers.timed(scores, started_s)

    async def tokenize(self, model: str, texts: Sequence[str]) -> list[list[Token]]:
        """Tokenise upstream."""
        async with self._slot(model, texts):
            found = await self._dialect.tokenize(self._upstream.send, model, texts)
        answers.check_tokens(found, texts)
        return found

    async def chunk(self, model: str, texts: Sequence[str], max_tokens: int, overlap: int) -> list[list[Span]]:
        """Cut upstream."""
        async with self._slot(model, texts):
            found = await self._dialect.chunk(self._upstream.send, model, texts, max_tokens, overlap)
        answers.check_chunks(found, texts)
        return found

    @asynccontextmanager
    async def _slot(self, model: str, inputs: Sequence[Sized], lane: Lane = "interactive") -> AsyncIterator[None]:
        """Wait for one of this model's calls. Raises Overloaded."""
        with self._backlog.holding(_length(inputs), lane):
            async with self._slots[model]:
                yield

    async def _embed(
        self,
        model: str,
        inputs: Inputs,
        truncate: Truncate,
        lane: Lane | None,
        *,
        rows_are_tokens: bool,
        tokens: bool = False,
    ) -> Embeddings:
        if not self._upstream.models:
            raise BackendUnavailable("the embed service was not reached yet", retry_after_s=1)
        lane = lane or _lane(inputs)
        shared = self._shared.get((model, lane, rows_are_tokens, tokens))
        if shared is None:
            shared = Sharing(
                partial(self._post, model, lane, rows_are_tokens, tokens),
                rows_are_tokens=rows_are_tokens,
                most_inputs=self._dialect.most_inputs,
                services=self._upstream.services,
            )
            self._shared[model, lane, rows_are_tokens, tokens] = shared
        started_s = time.perf_counter()
        with self._backlog.holding(_length(inputs), lane):
            if len(inputs) <= self._dialect.most_inputs:
                answer = await shared.embed(inputs, truncate)
            else:
                parts = [shared.embed(part, truncate) for part in self._parts(inputs)]
                answer = answers.joined(await asyncio.gather(*parts))
        metrics.embedded_texts.inc(len(inputs))
        stages.took("upstream", started_s, time.perf_counter(), model)
        return answer

    async def _post(
        self, model: str, lane: Lane, rows_are_tokens: bool, tokens: bool, inputs: Inputs, truncate: Truncate
    ) -> Embeddings:
        """Make one call for vectors and check its answer. Raises GatewayError of some kind, always."""
        started_s = time.perf_counter()
        if rows_are_tokens:
            ask = self._dialect.embed_tokens(model, inputs, truncate, lane)
        else:
            ask = self._dialect.embed(model, inputs, truncate, lane, tokens)
        answer = await self._upstream.send(ask)
        dimensions = self._upstream.dimensions.get(model)
        answers.check_vectors(answer, len(inputs), dimensions, rows_are_tokens=rows_are_tokens)
        return answer if answer.infer_ms else answers.timed(answer, started_s)

    def _parts(self, inputs: Inputs) -> list[Inputs]:
        """Cut inputs into as many as may go in one call: an ingest may embed more at once than a request may."""
        most = self._dialect.most_inputs
        return [inputs[start : start + most] for start in range(0, len(inputs), most)]


def _lane(inputs: Sequence[Sized]) -> Lane:
    return lane_of(_length(inputs) // CHARACTERS_PER_TOKEN)


def _length(inputs: Sequence[Sized]) -> int:
    return sum(map(len, inputs))
