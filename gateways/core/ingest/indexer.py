"""The indexer: it cuts documents into passages and embeds those, in the bulk lane that yields to queries."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import TypeVar

from gateways.core.backend import EncodeOptions
from gateways.core.errors import BackendUnavailable, DeadlineExceeded, GatewayError, ModelCrashed, NotFound
from gateways.core.ingest.passages import cut
from gateways.core.ingest.retry import do_nothing, retry_transient
from gateways.core.jobs.base import Document, Job
from gateways.core.models.registry import ModelRegistry
from gateways.core.profiles import Profile
from gateways.core.scoring.vectors import normalize
from gateways.core.stores.base import Collection, Passage, Vectors

T = TypeVar("T")

PASSAGES_PER_CALL = 256
# Meanwhile the jobs of other collections wait.
PATIENCE_S = 5.0
# Errors that more often come from the service than from a document: a slow proxy, models that are being replaced, or
# restarts at the wrong moments.
SERVICE_ERRORS = (DeadlineExceeded, NotFound, ModelCrashed)
_GOOD_TEXT = "The gateway checks whether the model takes this sentence."


class Indexer:
    """Cuts and embeds documents. It waits up to PATIENCE_S while the model or its upstream is away."""

    def __init__(self, registry: ModelRegistry, before_wait: Callable[[], Awaitable[None]] = do_nothing) -> None:
        """`before_wait` is called before each wait."""
        self._registry = registry
        self._before_wait = before_wait
        # Fewer while a call of as many would exceed its deadline.
        self._passages_per_call = PASSAGES_PER_CALL

    async def cut_documents(self, job: Job, profile: Profile, documents: Sequence[Document]) -> list[Passage]:
        """Return the passages of documents, cut by the chunking of their job, or else of their collection."""
        chunk = job.chunk or profile.chunk
        if chunk is None:
            return [passage for document in documents for passage in cut(document, ())]
        model = self._registry.model(profile.embedding_model)
        texts = [document.text for document in documents]
        spans = await self._retry(lambda: self._registry.chunk(model, texts, chunk.max_tokens, chunk.overlap))
        return [passage for at, document in enumerate(documents) for passage in cut(document, spans[at])]

    async def embed_texts(self, collection: Collection, texts: Sequence[str]) -> list[Vectors]:
        """Return the vectors of n texts. Vectors in the store are reused, and equal texts are embedded once."""
        vectors = dict(await collection.stored_vectors(texts))
        missing = [text for text in dict.fromkeys(texts) if text not in vectors]
        while missing:
            batch = missing[: self._passages_per_call]
            try:
                rows = await self._retry(partial(self._embed_batch, collection.profile, batch))
            except DeadlineExceeded:
                if len(batch) == 1:
                    raise
                self._passages_per_call = len(batch) // 2
                continue
            vectors.update(zip(batch, rows, strict=True))
            missing = missing[len(batch) :]
            self._grow_calls()
        return [vectors[text] for text in texts]

    async def check_service(self, job: Job, profile: Profile) -> None:
        """
        Raise BackendUnavailable unless a known good text passes: if it does, the fault is a document's.

        Waits while the service is away, as it is after a document has killed it.
        """
        try:
            await self._retry(partial(self._process_good_text, job, profile))
        except GatewayError as error:
            raise BackendUnavailable(f"the model rejects a known good text too: {error.message}") from error

    async def _process_good_text(self, job: Job, profile: Profile) -> None:
        if chunk := job.chunk or profile.chunk:
            model = self._registry.model(profile.embedding_model)
            await self._registry.chunk(model, [_GOOD_TEXT], chunk.max_tokens, chunk.overlap)
        await self._embed_batch(profile, [_GOOD_TEXT])

    def _grow_calls(self) -> None:
        # By a sixteenth: a call that is too large costs a whole deadline.
        grown = self._passages_per_call + max(1, self._passages_per_call // 16)
        self._passages_per_call = min(PASSAGES_PER_CALL, grown)

    async def _embed_batch(self, profile: Profile, texts: Sequence[str]) -> list[Vectors]:
        # Of gateways that start on an empty shared collection, the last one decides what makes its vectors.
        self._registry.check_source(profile.vector_source, profile.embedding_model, profile.sparse_model)
        dense = self._registry.model(profile.embedding_model)
        sparse = self._registry.model(profile.sparse_model, "sparse")
        prompted = [dict(dense.prompts)["document"] + text for text in texts]
        options = EncodeOptions(lane="bulk", tokens=profile.late_interaction)
        embeddings = await self._registry.embed(dense, prompted, options)
        weights = await self._registry.embed_sparse(sparse, texts, options)
        tokens = embeddings.tokens.by_text() if embeddings.tokens else [None] * len(texts)
        rows = zip(normalize(embeddings.vectors), weights.rows, tokens, strict=True)
        return [Vectors(*row) for row in rows]

    async def _retry(self, call: Callable[[], Awaitable[T]]) -> T:
        return await retry_transient(call, self._before_wait, patience_s=PATIENCE_S)
