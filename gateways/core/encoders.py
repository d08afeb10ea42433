"""All models behind one gateway: those of its backend by every name they have, and bm25."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateways.core import bm25
from gateways.core.backend import (
    Backend,
    Embeddings,
    Inputs,
    Kind,
    Lane,
    ModelInfo,
    Scores,
    Span,
    SparseEmbeddings,
    Truncate,
)
from gateways.core.embed_cache import EmbedCache
from gateways.core.errors import BackendUnavailable, InvalidRequest, NotFound, fetching
from gateways.core.lru import key_of


class Encoders:
    """What routes, search and ingest ask of the models; the calls raise what Backend's raise."""

    def __init__(self, backend: Backend, embed_cache_bytes: int = 0) -> None:
        self.backend = backend
        self._embedded = EmbedCache(embed_cache_bytes)
        self._told: Sequence[ModelInfo] = ()
        self._listed: Sequence[ModelInfo] = ()
        self._by_name: dict[str, ModelInfo] = {}
        self._defaults: dict[Kind, ModelInfo] = {}
        self._absent: Sequence[ModelInfo] = ()

    def models(self) -> Sequence[ModelInfo]:
        """Return the models served, the default of each kind before its others; BackendUnavailable while starting."""
        told = self.backend.models()
        if not told:
            raise starting()
        if told is not self._told:  # a model was loaded or unloaded, or the first ones are there
            own = () if any(model.id == bm25.ID for model in told) else (bm25.INFO,)
            # Of a catalogue's models those whose weights are not here are told last.
            self._absent = [model for model in told if not model.fetched]
            self._told, self._listed = told, (*(model for model in told if model.fetched), *own)
            # Backwards, so that the first of a kind and the first to have a name stay.
            self._defaults = {model.kind: model for model in reversed(self._listed)}
            self._by_name = {name: model for model in reversed(self._listed) for name in _names(model)}
        return self._listed

    def model(self, name: str | None, kind: Kind = "dense") -> ModelInfo:
        """
        Return the model an id or alias means, the default of the kind for None or "".

        Raises NotFound for an unknown name and for a model whose weights are not here, InvalidRequest for a model of
        another kind.
        """
        models = self.models()
        found = self._by_name.get(name) if name else self._defaults.get(kind)
        if found and found.kind == kind:
            return found
        known = ", ".join(model.id for model in models if model.kind == kind) or "none"
        found = found or self._lacking(name, kind)
        if found and found.kind != kind:
            raise InvalidRequest(
                f"{name!r} is a {found.kind} model; this needs a {kind} model. There are: {known}.",
                param="model",
                code="wrong_model_kind",
            )
        if found:
            raise _absent(f"model {name!r}" if name else f"the {kind} model {found.id}", found, known)
        raise _unknown(f"model {name!r}" if name else f"{kind} model", known)

    def any_model(self, name: str) -> ModelInfo:
        """Return the model of any kind that an id or alias means. Raises NotFound as `model` does."""
        known = ", ".join(model.id for model in self.models())
        if name in self._by_name:
            return self._by_name[name]
        if found := self._lacking(name):
            raise _absent(f"model {name!r}", found, known)
        raise _unknown(f"model {name!r}", known)

    def interaction(self, dense: str) -> ModelInfo | None:
        """Return the reranker that compares the tokens of a dense model, by its id; None where there is none."""
        return next((model for model in self.models() if model.of == dense), None)

    async def embed(
        self,
        model: ModelInfo,
        inputs: Inputs,
        *,
        truncate: Truncate = "END",
        lane: Lane | None = None,
        tokens: bool = False,
    ) -> Embeddings:
        """Embed n inputs with a dense model; a single text that was asked for lately costs no forward pass."""

        async def make() -> Embeddings:
            return await self.backend.embed(model.id, inputs, truncate=truncate, lane=lane, tokens=tokens)

        # Passages in bulk, with the vectors of all their tokens, would drive out the queries.
        if lane == "bulk" or len(inputs) != 1 or not isinstance(inputs[0], str):
            return await make()
        key = key_of(model.id, truncate, inputs[0]) + (b"tokens" if tokens else b"")
        return await self._embedded.get_or_make(key, make)

    async def embed_sparse(
        self,
        model: ModelInfo,
        texts: Sequence[str],
        *,
        query: bool = False,
        truncate: Truncate = "END",
        lane: Lane | None = None,
    ) -> SparseEmbeddings:
        """Weigh n texts, or n queries, with a sparse model; BM25 needs no backend."""
        if model.id == bm25.ID:
            if len(texts) == 1:  # microseconds: a thread would take longer to be handed it
                return bm25.embed(texts, query=query)
            return await asyncio.to_thread(bm25.embed, texts, query=query)
        return await self.backend.embed_sparse(model.id, texts, truncate=truncate, lane=lane)

    async def rerank(
        self, model: ModelInfo, query: str, documents: Sequence[str], *, truncate: Truncate = "END"
    ) -> Scores:
        """Score n documents with a reranker."""
        return await self.backend.rerank(model.id, query, documents, truncate=truncate)

    async def chunk(self, model: ModelInfo, texts: Sequence[str], max_tokens: int, overlap: int) -> list[list[Span]]:
        """Cut n texts into chunks of at most `max_tokens` tokens of a dense model, special tokens aside."""
        return await self.backend.chunk(model.id, texts, max_tokens, overlap)

    def _lacking(self, name: str | None, kind: Kind = "dense") -> ModelInfo | None:
        """Return what an id or alias, or nothing for the first of a kind, means among the models not here."""
        return next((its for its in self._absent if (name in _names(its) if name else its.kind == kind)), None)


def starting() -> BackendUnavailable:
    """Return the error of everything that needs a model while none is loaded."""
    return BackendUnavailable("the gateway is starting; /readyz tells when it is ready", retry_after_s=1)


def _names(model: ModelInfo) -> tuple[str, ...]:
    return (*model.stands_in_for, *model.aliases, model.id)


def _unknown(asked: str, known: str) -> NotFound:
    return NotFound(f"there is no {asked} here; there are: {known}.", param="model", code="unknown_model")


def _absent(asked: str, model: ModelInfo, known: str) -> NotFound:
    weights = model.of or model.id
    return NotFound(
        f"{asked} is in the catalogue, but the weights of {weights} are not here: {fetching(weights)} "
        f"and start the gateway again; until then there are: {known}.",
        param="model",
        code="unknown_model",
    )
