"""All models behind one gateway: those of its backend by every name they have, and bm25."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from gateways.core import tenants
from gateways.core.backend import (
    DEFAULT_OPTIONS,
    Backend,
    Embeddings,
    EncodeOptions,
    Inputs,
    Kind,
    ModelInfo,
    Scores,
    Span,
    SparseEmbeddings,
)
from gateways.core.cache.embedding_cache import EmbeddingCache
from gateways.core.cache.lru import key_of
from gateways.core.errors import BackendUnavailable, InvalidRequest, NotFound, fetching
from gateways.core.scoring import bm25
from gateways.core.vector_source import VectorSource, describe_differences, find_source

# BM25 weighs so many characters in 0.2 ms.
INLINE_CHARACTERS = 4_000


class ModelRegistry:
    """What routes, search and ingest ask of the models; the calls raise what Backend's raise."""

    def __init__(self, backend: Backend, embed_cache_bytes: int = 0, *, allow_vector_mismatch: bool = False) -> None:
        """With `allow_vector_mismatch` the vectors of a collection may have another source than new ones."""
        self.backend = backend
        self._allow_vector_mismatch = allow_vector_mismatch
        self._embedded = EmbeddingCache(embed_cache_bytes)
        self._backend_models: Sequence[ModelInfo] = ()
        self._served: Sequence[ModelInfo] = ()
        self._by_name: dict[str, ModelInfo] = {}
        self._defaults: dict[Kind, ModelInfo] = {}
        self._absent: Sequence[ModelInfo] = ()
        self._sources: dict[tuple[str, str], VectorSource | None] = {}

    def models(self) -> Sequence[ModelInfo]:
        """Return the models served, the default of each kind first. Raises BackendUnavailable while starting."""
        models = self.backend.models()
        if not models:
            raise starting()
        if models is not self._backend_models:  # the backend makes a new sequence after a load or an unload
            own = () if any(model.id == bm25.ID for model in models) else (bm25.INFO,)
            self._sources = {}
            self._absent = [model for model in models if not model.fetched]
            self._backend_models, self._served = models, (*(model for model in models if model.fetched), *own)
            # In reverse, so that the first model of a kind or of a name wins.
            self._defaults = {model.kind: model for model in reversed(self._served)}
            self._by_name = {name: model for model in reversed(self._served) for name in _list_names(model)}
        return self._served

    def model(self, name: str | None, kind: Kind = "dense") -> ModelInfo:
        """
        Return the model of an id or an alias; for None or "", the default of the kind.

        Raises NotFound for an unknown name or a model without weights, InvalidRequest for a model of another kind.
        """
        models = self.models()
        model = self._by_name.get(name) if name else self._defaults.get(kind)
        if model and model.kind == kind:
            return model
        choices = ", ".join(other.id for other in models if other.kind == kind) or "none"
        model = model or self._find_absent(name, kind)
        if model and model.kind != kind:
            raise InvalidRequest(
                f"{name!r} is a {model.kind} model; this needs a {kind} model. There are: {choices}.",
                param="model",
                code="wrong_model_kind",
            )
        if model:
            raise _absent_model(f"model {name!r}" if name else f"the {kind} model {model.id}", model, choices)
        raise _unknown_model(f"model {name!r}" if name else f"{kind} model", choices, named=bool(name))

    def any_model(self, name: str) -> ModelInfo:
        """Return the model of an id or an alias, of any kind. Raises NotFound as `model` does."""
        choices = ", ".join(model.id for model in self.models())
        if name in self._by_name:
            return self._by_name[name]
        if absent := self._find_absent(name):
            raise _absent_model(f"model {name!r}", absent, choices)
        raise _unknown_model(f"model {name!r}", choices)

    def interaction(self, dense: str) -> ModelInfo | None:
        """Return the reranker that compares the tokens of a dense model, by its id; None where there is none."""
        return next((model for model in self.models() if model.of == dense), None)

    def check_source(self, stored: VectorSource | None, dense: str, sparse: str) -> None:
        """Raise BackendUnavailable if two models now make vectors unlike those stored: an upstream has changed."""
        if stored is None or self._allow_vector_mismatch:
            return
        models, pair = self.models(), (dense, sparse)
        if pair not in self._sources:  # every search asks
            self._sources[pair] = find_source(models, dense, sparse)
        served = self._sources[pair]
        if served and served != stored and stored.differences(served):
            before, after = describe_differences(stored, served)
            raise BackendUnavailable(
                f"the stored vectors are of {dense} with {before}, and it is served with {after} now. "
                "Serve it as before, or build the vectors again.",
                code="vector_mismatch",
            )

    async def embed(self, model: ModelInfo, inputs: Inputs, options: EncodeOptions = DEFAULT_OPTIONS) -> Embeddings:
        """Embed n inputs with a dense model; a single text that was asked for lately costs no forward pass."""

        async def make() -> Embeddings:
            return await self.backend.embed(model.id, inputs, options)

        # Passages in bulk, with the vectors of all their tokens, would drive out the queries.
        if options.lane == "bulk" or len(inputs) != 1 or not isinstance(inputs[0], str):
            return await make()
        # A service that comes back with another precision makes other vectors under the same id.
        identity = f"{model.id} {model.dimensions} {model.precision} {model.revision}"
        key = key_of(identity, options.truncate, inputs[0]) + (b"tokens" if options.tokens else b"")
        key += tenants.cache_suffix()
        return await self._embedded.get_or_make(key, make)

    async def embed_sparse(
        self,
        model: ModelInfo,
        texts: Sequence[str],
        options: EncodeOptions = DEFAULT_OPTIONS,
        *,
        query: bool = False,
    ) -> SparseEmbeddings:
        """Weigh n texts, or n queries, with a sparse model; BM25 needs no backend."""
        if model.id == bm25.ID:
            if sum(map(len, texts)) <= INLINE_CHARACTERS:  # a thread would take longer to be handed them
                return bm25.embed(texts, query=query)
            return await asyncio.to_thread(bm25.embed, texts, query=query)
        return await self.backend.embed_sparse(model.id, texts, options)

    async def rerank(
        self, model: ModelInfo, query: str, documents: Sequence[str], options: EncodeOptions = DEFAULT_OPTIONS
    ) -> Scores:
        """Score n documents with a reranker."""
        return await self.backend.rerank(model.id, query, documents, options)

    async def chunk(self, model: ModelInfo, texts: Sequence[str], max_tokens: int, overlap: int) -> list[list[Span]]:
        """Cut n texts into chunks of at most `max_tokens` tokens of a dense model, special tokens aside."""
        return await self.backend.chunk(model.id, texts, max_tokens, overlap)

    def _find_absent(self, name: str | None, kind: Kind = "dense") -> ModelInfo | None:
        """Return the absent model of a name; without a name, the first absent model of the kind."""
        matches = (model for model in self._absent if (name in _list_names(model) if name else model.kind == kind))
        return next(matches, None)


def starting() -> BackendUnavailable:
    """Return the error for requests that need a model while none is loaded."""
    return BackendUnavailable("the gateway is starting; /readyz tells when it is ready", retry_after_s=1)


def _list_names(model: ModelInfo) -> tuple[str, ...]:
    return (*model.stands_in_for, *model.aliases, model.id)


def _unknown_model(subject: str, choices: str, *, named: bool = False) -> NotFound:
    hint = " To answer to that name, add it to the `aliases` of one in models.yaml; the vectors are that model's."
    message = f"there is no {subject} here; there are: {choices}.{hint if named else ''}"
    return NotFound(message, param="model", code="unknown_model")


def _absent_model(subject: str, model: ModelInfo, choices: str) -> NotFound:
    weights = model.of or model.id
    return NotFound(
        f"{subject} is in the catalogue, but the weights of {weights} are not here: {fetching(weights)} "
        f"and start the gateway again; until then there are: {choices}.",
        param="model",
        code="unknown_model",
    )
