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
from gateways.core.errors import BackendUnavailable, InvalidRequest, NotFound


class Encoders:
    """What routes, search and ingest ask of the models; the calls raise what Backend's raise."""

    def __init__(self, backend: Backend) -> None:
        self.backend = backend
        self._listed: tuple[Sequence[ModelInfo], Sequence[ModelInfo]] = ((), ())

    def models(self) -> Sequence[ModelInfo]:
        """Return the models, the default of each kind before its others; BackendUnavailable while starting."""
        models = self.backend.models()
        if not models:
            raise starting()
        if models is not self._listed[0]:
            own = () if any(model.id == bm25.ID for model in models) else (bm25.INFO,)
            self._listed = (models, (*models, *own))
        return self._listed[1]

    def model(self, name: str | None, kind: Kind = "dense") -> ModelInfo:
        """
        Return the model an id or alias means, the default of the kind for None or "".

        Raises NotFound for an unknown name, InvalidRequest for a model of another kind.
        """
        of_kind = [model for model in self.models() if model.kind == kind]
        for model in of_kind:
            if not name or name == model.id or name in model.aliases or name in model.stands_in_for:
                return model
        known = ", ".join(model.id for model in of_kind) or "none"
        for model in self.models():
            if name in (model.id, *model.aliases, *model.stands_in_for):
                raise InvalidRequest(
                    f"{name!r} is a {model.kind} model; this needs a {kind} model. There are: {known}.",
                    param="model",
                    code="wrong_model_kind",
                )
        asked = f"model {name!r}" if name else f"{kind} model"
        raise NotFound(f"there is no {asked} here; there are: {known}.", param="model", code="unknown_model")

    def any_model(self, name: str) -> ModelInfo:
        """Return the model of any kind that an id or alias means. Raises NotFound."""
        for model in self.models():
            if name in (model.id, *model.aliases, *model.stands_in_for):
                return model
        known = ", ".join(model.id for model in self.models())
        raise NotFound(f"there is no model {name!r} here; there are: {known}.", param="model", code="unknown_model")

    async def embed(
        self, model: ModelInfo, inputs: Inputs, *, truncate: Truncate = "END", lane: Lane = "interactive"
    ) -> Embeddings:
        """Embed n inputs with a dense model."""
        return await self.backend.embed(model.id, inputs, truncate=truncate, lane=lane)

    async def embed_sparse(
        self,
        model: ModelInfo,
        texts: Sequence[str],
        *,
        query: bool = False,
        truncate: Truncate = "END",
        lane: Lane = "interactive",
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


def starting() -> BackendUnavailable:
    """Return the error of everything that needs a model while none is loaded."""
    return BackendUnavailable("the gateway is starting; /readyz tells when it is ready", retry_after_s=1)
