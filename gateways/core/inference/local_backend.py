"""A Backend around models in this process: tokenise, queue, run on the model threads."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence, Sized
from typing import Generic, NamedTuple, Self, TypeVar

import numpy as np

from gateways.core.backend import (
    DEFAULT_OPTIONS,
    F32,
    Embeddings,
    EncodeOptions,
    Inputs,
    Lane,
    ModelInfo,
    Scores,
    Span,
    SparseEmbeddings,
    Times,
    Token,
    TokenIds,
    TokenVectors,
)
from gateways.core.cache.token_vector_cache import Read
from gateways.core.errors import GatewayError
from gateways.core.inference.late_reranker import LateReranker
from gateways.core.inference.model_pool import ModelPool
from gateways.core.inference.priority_lanes import PriorityLanes
from gateways.core.inference.request_queue import QueuedRequest, Run
from gateways.core.models.runtime import CrossEncoder, DenseModel, Model, Runtime, SparseModel
from gateways.core.observability import metrics, stage_timing
from gateways.core.scoring.late_interaction import inner
from gateways.core.settings import ModelSettings

T = TypeVar("T")

# Longer requests are tokenised in a thread: the hand-over costs less than the loop would be held up.
INLINE_CHARACTERS = 4_000
# One prepares a pass and reads its results while the GPU computes the other's.
GPU_THREADS = 2
# Of a short query with the JSON around it.
BYTES_PER_TOKEN = 5


class Encoded(NamedTuple, Generic[T]):
    """A row for each of n inputs, in their order, and the tokens of each."""

    rows: list[T]
    token_counts: list[int]
    times: Times


class LocalBackend:
    """Serve the models of the catalogue whose weights are here."""

    def __init__(self, runtime: Runtime, settings: ModelSettings) -> None:
        self._settings = settings
        self._models = ModelPool(runtime, settings)
        self._lanes: PriorityLanes | None = None
        self._reranker = LateReranker(self._read_tokens, settings.rerank_cache_mb * 1_000_000)

    async def __aenter__(self) -> Self:
        self._models.open()
        on_cpu = self._models.device == "cpu"
        self._lanes = PriorityLanes(
            self._settings, self._settings.threads or (self._settings.cores() if on_cpu else GPU_THREADS)
        )
        self._lanes.start()
        await self._models.preload()
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        self._models.close()
        if self._lanes:
            await self._lanes.close()

    def models(self) -> Sequence[ModelInfo]:
        """Return the models whose weights are here, then those that wait for them, once the default one is warm."""
        return self._models.infos

    def ready(self) -> bool:
        """Say whether the default model is warm and the model threads live."""
        return bool(self._models.infos) and not self.failure()

    def failure(self) -> str | None:
        """Return which model thread hangs or died, if one does."""
        return self._lanes.failure() if self._lanes else None

    def refusal(self, within_s: float, before_bytes: int = 0) -> GatewayError | None:
        """Return what a query that may take so long would be refused with now."""
        return self._lanes.refusal(within_s, before_bytes // BYTES_PER_TOKEN) if self._lanes else None

    async def embed(self, model: str, inputs: Inputs, options: EncodeOptions = DEFAULT_OPTIONS) -> Embeddings:
        """Embed as Backend says."""
        dense: DenseModel
        async with self._models.use(model) as dense:
            if not options.tokens:
                rows, counts, times = await self._encode(dense, dense.encode, inputs, options)
                return Embeddings(np.stack(rows) if len(rows) > 1 else rows[0][None], counts, **times)
            pairs, counts, times = await self._encode(dense, dense.encode_with_tokens, inputs, options)
        of_tokens = TokenVectors(np.concatenate([kept for _, kept in pairs]), [len(kept) for _, kept in pairs])
        return Embeddings(np.stack([pooled for pooled, _ in pairs]), counts, of_tokens, **times)

    async def embed_tokens(self, model: str, inputs: Inputs, options: EncodeOptions = DEFAULT_OPTIONS) -> Embeddings:
        """Embed every token as Backend says."""
        dense: DenseModel
        async with self._models.use(model) as dense:
            rows, counts, times = await self._encode(dense, dense.encode_tokens, inputs, options)
        return Embeddings(np.concatenate(rows), counts, **times)

    async def embed_sparse(
        self, model: str, inputs: Inputs, options: EncodeOptions = DEFAULT_OPTIONS
    ) -> SparseEmbeddings:
        """Weigh the vocabulary as Backend says."""
        sparse: SparseModel
        async with self._models.use(model) as sparse:
            rows, counts, times = await self._encode(sparse, sparse.encode, inputs, options)
        return SparseEmbeddings(rows, counts, **times)

    async def rerank(
        self, model: str, query: str, documents: Sequence[str], options: EncodeOptions = DEFAULT_OPTIONS
    ) -> Scores:
        """Score as Backend says."""
        if dense := self._models.compared_by(model):
            return await self._reranker.rerank(dense, query, documents, options)
        cross_encoder: CrossEncoder
        async with self._models.use(model) as cross_encoder:
            started_s = time.perf_counter()
            pairs = await asyncio.to_thread(cross_encoder.texts.pairs, query, documents, options.truncate)
            ticket = await self._submit(cross_encoder, cross_encoder.predict, pairs, options.lane)
        values: F32 = np.asarray(ticket.results, dtype=np.float32)
        return Scores(values, [len(pair) for pair in pairs], **_timings(ticket, started_s, model))

    async def tokenize(self, model: str, texts: Sequence[str]) -> list[list[Token]]:
        """Tokenise as Backend says."""
        tokenized: Model
        async with self._models.use(self._models.compared_by(model) or model) as tokenized:
            return await asyncio.to_thread(tokenized.texts.tokens, texts)

    async def chunk(self, model: str, texts: Sequence[str], max_tokens: int, overlap: int) -> list[list[Span]]:
        """Cut as Backend says."""
        chunked: Model
        async with self._models.use(self._models.compared_by(model) or model) as chunked:
            return await asyncio.to_thread(chunked.texts.chunk, texts, max_tokens, overlap)

    async def _read_tokens(
        self, model: str, texts: Sequence[str], options: EncodeOptions
    ) -> tuple[list[Read], Times]:
        """Return the vectors of each text's own tokens, as the late-interaction reranker compares them."""
        dense: DenseModel
        async with self._models.use(model) as dense:
            rows, counts, times = await self._encode(dense, dense.encode_tokens, texts, options)
        return [Read(inner(row, dense.info.frame), count) for row, count in zip(rows, counts, strict=True)], times

    async def _encode(
        self,
        model: Model,
        encode: Callable[[Sequence[TokenIds]], Iterable[T]],
        inputs: Inputs,
        options: EncodeOptions,
    ) -> Encoded[T]:
        started_s = time.perf_counter()
        if sum(map(len, inputs)) > INLINE_CHARACTERS:
            batch = await asyncio.to_thread(model.texts.tokenize, inputs, options.truncate)
        else:
            batch = model.texts.tokenize(inputs, options.truncate)
        ticket = await self._submit(model, encode, batch, options.lane)
        metrics.embedded_texts.inc(len(batch))
        return Encoded(ticket.results, [len(ids) for ids in batch], _timings(ticket, started_s, model.info.id))

    async def _submit(self, model: Model, run: Run, batch: Sequence[Sized], lane: Lane | None) -> QueuedRequest:
        assert self._lanes  # noqa: S101 a model is loaded, so they run
        return await self._lanes.submit(run, batch, lane, model.cost)


def _timings(ticket: QueuedRequest, asked_s: float, model: str) -> Times:
    stage_timing.took("tokenize", asked_s, ticket.queued_s, model)
    stage_timing.took("queue", ticket.queued_s, ticket.started_s, model)
    stage_timing.took("infer", ticket.started_s, ticket.finished_s, model)
    return {
        "tokenize_ms": (ticket.queued_s - asked_s) * 1e3,
        "queue_ms": (ticket.started_s - ticket.queued_s) * 1e3,
        "infer_ms": (ticket.finished_s - ticket.started_s) * 1e3,
    }
