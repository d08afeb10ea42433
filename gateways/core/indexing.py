"""What of a document goes into a store: its passages and their vectors, in the time that queries leave."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import TypeVar

from gateways.core.encoders import Encoders
from gateways.core.errors import BackendUnavailable, NoSpace, Overloaded, UpstreamFailed
from gateways.core.jobs.base import Document, Job
from gateways.core.passages import cut
from gateways.core.profiles import Profile
from gateways.core.stores.base import Collection, Passage, Vectors
from gateways.core.vectors import normalize

log = logging.getLogger(__name__)
T = TypeVar("T")

PASSAGES_AT_ONCE = 256
RETRY_FIRST_S, RETRY_MOST_S = 0.25, 5.0
# What goes by: nothing is wrong with the document.
PASSING = (BackendUnavailable, NoSpace, Overloaded, UpstreamFailed)


async def _nothing() -> None:
    """Do nothing."""


class Indexer:
    """Cut and embed documents; while the model or its upstream is away, wait: they are acknowledged."""

    def __init__(self, encoders: Encoders, waiting: Callable[[], Awaitable[None]] = _nothing) -> None:
        """`waiting` is called before each wait."""
        self._encoders = encoders
        self._waiting = waiting

    async def passages(self, job: Job, profile: Profile, documents: Sequence[Document]) -> list[Passage]:
        """Return the passages of documents, cut as their job or else their collection says."""
        chunk = job.chunk or profile.chunk
        if chunk is None:
            return [passage for document in documents for passage in cut(document, ())]
        model = self._encoders.model(profile.embedding_model)
        texts = [document.text for document in documents]
        spans = await self._patiently(lambda: self._encoders.chunk(model, texts, chunk.max_tokens, chunk.overlap))
        return [passage for at, document in enumerate(documents) for passage in cut(document, spans[at])]

    async def vectors(self, collection: Collection, texts: Sequence[str]) -> list[Vectors]:
        """Return the vectors of n texts; what the store holds already, and what is there twice, runs once."""
        known = dict(await collection.known(texts))
        missing = [text for text in dict.fromkeys(texts) if text not in known]
        for at in range(0, len(missing), PASSAGES_AT_ONCE):
            some = missing[at : at + PASSAGES_AT_ONCE]
            known.update(zip(some, await self._embed(collection.profile, some), strict=True))
        return [known[text] for text in texts]

    async def _embed(self, profile: Profile, texts: Sequence[str]) -> list[Vectors]:
        """Embed in the bulk lane."""
        dense = self._encoders.model(profile.embedding_model)
        sparse = self._encoders.model(profile.sparse_model, "sparse")
        prompted = [dict(dense.prompts)["document"] + text for text in texts]
        embedded = await self._patiently(
            lambda: self._encoders.embed(dense, prompted, lane="bulk", tokens=profile.late_interaction)
        )
        weighed = await self._patiently(lambda: self._encoders.embed_sparse(sparse, texts, lane="bulk"))
        tokens = embedded.tokens.by_text() if embedded.tokens else [None] * len(texts)
        return [Vectors(*its) for its in zip(normalize(embedded.vectors), weighed.rows, tokens, strict=True)]

    async def _patiently(self, call: Callable[[], Awaitable[T]]) -> T:
        return await patiently(call, self._waiting)


async def patiently(call: Callable[[], Awaitable[T]], waiting: Callable[[], Awaitable[None]] = _nothing) -> T:
    """Call until nothing is away any more; `waiting` is called before each wait, and may fail for the same reason."""
    wait_s = RETRY_FIRST_S
    while True:
        try:
            return await call()
        except PASSING as error:
            log.warning("ingest waits %.2f s: %s", wait_s, error)
            with suppress(*PASSING):
                await waiting()
            await asyncio.sleep(wait_s)
            wait_s = min(2 * wait_s, RETRY_MOST_S)
