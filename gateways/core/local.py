"""A Backend around models in this process: tokenise, queue, run on the model threads."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Sequence, Sized
from typing import Any, Self, cast

import numpy as np

from gateways.core import catalog, metrics, stages
from gateways.core.backend import (
    F32,
    Embeddings,
    Inputs,
    Lane,
    ModelInfo,
    Scores,
    Span,
    SparseEmbeddings,
    Times,
    Token,
    TokenVectors,
    Truncate,
)
from gateways.core.errors import BackendUnavailable, GatewayError, InvalidRequest, fetching
from gateways.core.lanes import Lanes
from gateways.core.late import inner
from gateways.core.lineup import Lineup, Measured
from gateways.core.lru import key_of
from gateways.core.maxsim import maxsim
from gateways.core.rerank_cache import Read, RerankCache
from gateways.core.residents import Resident, Residents
from gateways.core.runtime import DenseModel, Model, Runtime, measure_ms
from gateways.core.settings import Settings
from gateways.core.tickets import Run, Ticket
from gateways.core.truncation import of_documents
from gateways.core.tuning import tune

log = logging.getLogger(__name__)

# Longer requests are tokenised in a thread: the hand-over costs less than the loop would be held up.
INLINE_CHARACTERS = 4_000
# One prepares a pass and reads its results while the GPU computes the other's.
GPU_THREADS = 2
# Of a short query with the JSON around it.
BYTES_PER_TOKEN = 5
# Documents whose token vectors are held at once: 6 MB of MiniLM's at full length, and several full batches.
INTERACTING = 16


class LocalBackend:
    """Serve the models of the catalogue whose weights are here."""

    def __init__(self, runtime: Runtime, settings: Settings) -> None:
        self._runtime = runtime
        self._settings = settings
        self._infos: tuple[ModelInfo, ...] = ()
        self._measured: dict[str, Measured] = {}
        self._lanes: Lanes | None = None
        self._remembered = RerankCache(settings.rerank_cache_mb * 1_000_000)
        self._unloading: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        models, settings = catalog.load(self._settings.models_file), self._settings
        if not models.use_gpu and settings.device == "auto":
            self._settings = settings = settings.model_copy(update={"device": "cpu"})
        self._lineup = Lineup(models, self._runtime, settings)
        self._residents: Residents[Any] = Residents(
            self._load,
            lambda model_id: self._lineup.located[model_id].memory_bytes(),
            settings.model_memory_mb * 1_000_000,
            settings.model_idle_s,
            self._list,
        )
        on_gpu = self._lineup.located[self._lineup.default].info.device != "cpu"
        self._lanes = Lanes(settings, settings.threads or (GPU_THREADS if on_gpu else settings.cores()))
        self._lanes.start()
        for model_id, located in self._lineup.located.items():
            if model_id == self._lineup.default or located.entry.preload:
                self._residents.release(await self._residents.acquire(model_id))
        self._unloading = asyncio.create_task(self._residents.unload_idle())
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        if self._unloading:
            self._unloading.cancel()
        if self._lanes:
            await self._lanes.close()

    def models(self) -> Sequence[ModelInfo]:
        """Return the models whose weights are here, then those that wait for them, once the default one is warm."""
        return self._infos

    def ready(self) -> bool:
        """Say whether the default model is warm and the model threads live."""
        return bool(self._infos) and not self.failure()

    def failure(self) -> str | None:
        """Return which model thread hangs or died, if one does."""
        return self._lanes.failure() if self._lanes else None

    def refusal(self, within_s: float, before_bytes: int = 0) -> GatewayError | None:
        """Return what a query that may take so long would be refused with now."""
        return self._lanes.refusal(within_s, before_bytes // BYTES_PER_TOKEN) if self._lanes else None

    async def embed(
        self,
        model: str,
        inputs: Inputs,
        *,
        truncate: Truncate = "END",
        lane: Lane | None = None,
        tokens: bool = False,
    ) -> Embeddings:
        """Embed as Backend says."""
        verb = "encode_with_tokens" if tokens else "encode"
        rows, counts, timings, _ = await self._encode(verb, model, inputs, truncate, lane)
        if not tokens:
            return Embeddings(np.stack(rows) if len(rows) > 1 else rows[0][None], counts, **timings)
        of_tokens = TokenVectors(np.concatenate([kept for _, kept in rows]), [len(kept) for _, kept in rows])
        return Embeddings(np.stack([pooled for pooled, _ in rows]), counts, of_tokens, **timings)

    async def embed_tokens(
        self, model: str, inputs: Inputs, *, truncate: Truncate = "END", lane: Lane | None = None
    ) -> Embeddings:
        """Embed every token as Backend says."""
        rows, counts, timings, _ = await self._encode("encode_tokens", model, inputs, truncate, lane)
        return Embeddings(np.concatenate(rows), counts, **timings)

    async def embed_sparse(
        self, model: str, inputs: Inputs, *, truncate: Truncate = "END", lane: Lane | None = None
    ) -> SparseEmbeddings:
        """Weigh the vocabulary as Backend says."""
        rows, counts, timings, _ = await self._encode("encode", model, inputs, truncate, lane)
        return SparseEmbeddings(rows, counts, **timings)

    async def rerank(
        self,
        model: str,
        query: str,
        documents: Sequence[str],
        *,
        truncate: Truncate = "END",
        lane: Lane | None = None,
    ) -> Scores:
        """Score as Backend says."""
        if model in self._lineup.late:
            return await self._interact(self._lineup.late[model], query, documents, truncate, lane)
        resident = await self._acquire(model)
        try:
            started_s = time.perf_counter()
            pairs = await asyncio.to_thread(resident.model.texts.pairs, query, documents, truncate)
            ticket = await self._submit(resident.model, resident.model.predict, pairs, lane)
        finally:
            self._residents.release(resident)
        values: F32 = np.asarray(ticket.results, dtype=np.float32)
        return Scores(values, [len(pair) for pair in pairs], **_timings(ticket, started_s, model))

    async def tokenize(self, model: str, texts: Sequence[str]) -> list[list[Token]]:
        """Tokenise as Backend says."""
        resident = await self._acquire(self._lineup.late.get(model, model))
        try:
            found: list[list[Token]] = await asyncio.to_thread(resident.model.texts.tokens, texts)
        finally:
            self._residents.release(resident)
        return found

    async def chunk(self, model: str, texts: Sequence[str], max_tokens: int, overlap: int) -> list[list[Span]]:
        """Cut as Backend says."""
        resident = await self._acquire(self._lineup.late.get(model, model))
        try:
            spans: list[list[Span]] = await asyncio.to_thread(resident.model.texts.chunk, texts, max_tokens, overlap)
        finally:
            self._residents.release(resident)
        return spans

    async def _acquire(self, model: str) -> Resident[Any]:
        if not self._infos:
            raise BackendUnavailable("the model is loading; /readyz tells when it is ready", retry_after_s=1)
        return await self._residents.acquire(model)

    async def _encode(
        self, verb: str, model: str, inputs: Inputs, truncate: Truncate, lane: Lane | None
    ) -> tuple[list[Any], list[int], Times, ModelInfo]:
        """Return what the model's verb makes of each input, token counts, timings, and the model as loaded."""
        resident = await self._acquire(model)
        try:
            started_s = time.perf_counter()
            tokenize = resident.model.texts.tokenize
            if sum(map(len, inputs)) > INLINE_CHARACTERS:
                batch = await asyncio.to_thread(tokenize, inputs, truncate)
            else:
                batch = tokenize(inputs, truncate)
            ticket = await self._submit(resident.model, getattr(resident.model, verb), batch, lane)
        finally:
            self._residents.release(resident)
        metrics.embedded_texts.inc(len(batch))
        return ticket.results, [len(ids) for ids in batch], _timings(ticket, started_s, model), resident.model.info

    async def _submit(self, model: Model, run: Run, batch: Sequence[Sized], lane: Lane | None) -> Ticket:
        assert self._lanes  # noqa: S101 a resident was acquired, so they run
        return await self._lanes.submit(run, batch, lane, model.cost)

    async def _interact(
        self, dense: str, query: str, documents: Sequence[str], truncate: Truncate, lane: Lane | None
    ) -> Scores:
        """Compare the token vectors of one dense model, some documents at once: all of a long list would be GBs."""
        places: dict[str, int] = {}
        for place, document in enumerate(documents):
            places.setdefault(document, place)
        waiting = [(place, document) for document, place in places.items()]
        judged: dict[str, tuple[np.float32, int]] = {}
        asked: list[Read] = []
        spent = Times(tokenize_ms=0.0, queue_ms=0.0, infer_ms=0.0)
        for start in range(0, len(waiting), INTERACTING):
            some = waiting[start : start + INTERACTING]
            texts = some if asked else [(-1, query), *some]  # the query goes with the first documents, once
            read, timings = await self._read(dense, texts, truncate, lane)
            if not asked:
                asked, read = read[:1], read[1:]
            started_s = time.perf_counter()
            values = await asyncio.to_thread(maxsim, asked[0].vectors, [text.vectors for text in read])
            timings["infer_ms"] += (time.perf_counter() - started_s) * 1e3
            spent = _sum(spent, timings)
            tokens = [text.tokens for text in read]
            judged.update(zip((text for _, text in some), zip(values, tokens, strict=True), strict=True))
        scores: F32 = np.array([judged[document][0] for document in documents], dtype=np.float32)
        return Scores(scores, [asked[0].tokens, *(judged[document][1] for document in documents)], **spent)

    async def _read(
        self, dense: str, texts: Sequence[tuple[int, str]], truncate: Truncate, lane: Lane | None
    ) -> tuple[list[Read], Times]:
        """
        Return the tokens of n texts, encoding only what is not remembered, and that once.

        Each text comes with its place among the documents, -1 for the query, which InvalidRequest names.
        """
        keys = [key_of(dense, truncate, text) for _, text in texts]
        known = {key: read for key in dict.fromkeys(keys) if (read := self._remembered.get(key))}
        new = {key: text for key, text in zip(keys, texts, strict=True) if key not in known}
        spent = Times(tokenize_ms=0.0, queue_ms=0.0, infer_ms=0.0)
        if new:
            inputs = [text for _, text in new.values()]
            try:
                rows, counts, spent, info = await self._encode("encode_tokens", dense, inputs, truncate, lane)
            except InvalidRequest as error:
                raise _placed(error, [place for place, _ in new.values()]) from error
            for key, row, tokens in zip(new, rows, counts, strict=True):
                known[key] = Read(inner(row, info.frame), tokens)
                self._remembered.put(key, known[key])
        return [known[key] for key in keys], spent

    def _load(self, model_id: str) -> Model:
        located = self._lineup.located[model_id]
        try:
            model = self._runtime.load(located, self._settings)
        except FileNotFoundError as absent:
            raise catalog.WeightsAbsent(f"{absent.filename} is not there: {fetching(model_id)}") from absent
        if located.info.kind == "dense":
            tune(cast(DenseModel, model), located, self._settings)
        self._measured[model_id] = Measured(round(measure_ms(model), 2), model.cost)
        return model

    def _list(self) -> None:
        """Make the list of models anew: one was loaded or unloaded."""
        held = {model_id: self._residents.get(model_id) for model_id in self._lineup.located}
        loaded = {model_id: model.info for model_id, model in held.items() if model}
        if self._infos or self._lineup.default in loaded:
            self._infos = self._lineup.infos(loaded, self._measured)


def _placed(error: InvalidRequest, places: Sequence[int]) -> InvalidRequest:
    """Return an error about `input.<i>` as one about the document at `places[i]`, -1 being the query."""
    position = (error.param or "").removeprefix("input.")
    return of_documents(error, places[int(position)] - int(position)) if position.isdigit() else error


def _sum(one: Times, other: Times) -> Times:
    return {
        "tokenize_ms": one["tokenize_ms"] + other["tokenize_ms"],
        "queue_ms": one["queue_ms"] + other["queue_ms"],
        "infer_ms": one["infer_ms"] + other["infer_ms"],
    }


def _timings(ticket: Ticket, asked_s: float, model: str) -> Times:
    stages.took("tokenize", asked_s, ticket.queued_s, model)
    stages.took("queue", ticket.queued_s, ticket.started_s, model)
    stages.took("infer", ticket.started_s, ticket.finished_s, model)
    return {
        "tokenize_ms": (ticket.queued_s - asked_s) * 1e3,
        "queue_ms": (ticket.started_s - ticket.queued_s) * 1e3,
        "infer_ms": (ticket.finished_s - ticket.started_s) * 1e3,
    }
