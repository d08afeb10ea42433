"""Cache of the embeddings of single texts. Concurrent requests for one text share one forward pass."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gateways.core.backend import Embeddings, TokenVectors
from gateways.core.cache.lru import Lru
from gateways.core.observability import metrics

N = TypeVar("N", bound=np.generic)
# The key, the dict entry and the Python objects around the arrays of one text.
OVERHEAD_BYTES = 800


class EmbeddingCache(Lru[Embeddings]):
    """Embeddings of single texts by `key_of`. For the event loop's thread only."""

    def __init__(self, budget_bytes: int) -> None:
        """Hold at most `budget_bytes`. With 0, every request runs a forward pass of its own."""
        super().__init__(budget_bytes, metrics.embed_cache_hits, metrics.embed_cache_misses)
        self._pending: dict[bytes, asyncio.Future[Embeddings | None]] = {}

    async def get_or_make(self, key: bytes, make: Callable[[], Awaitable[Embeddings]]) -> Embeddings:
        """
        Return the cached embeddings, or call `make` once for all concurrent callers. Raises what `make` raises.

        If the caller that runs `make` is cancelled, the next waiting caller runs it.
        """
        if not self.budget_bytes:
            return await make()
        while pending := self._pending.get(key):
            if embeddings := await asyncio.shield(pending):
                metrics.embed_cache_hits.inc()
                return embeddings
        return self.get(key) or await self._compute(key, make)

    async def _compute(self, key: bytes, make: Callable[[], Awaitable[Embeddings]]) -> Embeddings:
        pending = self._pending[key] = asyncio.get_running_loop().create_future()
        copy: Embeddings | None = None
        try:
            embeddings = await make()
            copy = _copy_frozen(embeddings)
            self.hold(key, copy, _size_bytes(copy))
        except Exception as error:
            pending.set_exception(error)
            pending.exception()  # marks it as retrieved: asyncio logs an unretrieved exception as an error
            raise
        finally:
            del self._pending[key]
            if not pending.done():
                pending.set_result(copy)
        return embeddings


def _copy_frozen(embeddings: Embeddings) -> Embeddings:
    """Return a read-only copy with timings of 0. `embeddings` may be a view of a whole batch."""
    vectors, tokens = _freeze(embeddings.vectors), embeddings.tokens
    frozen_tokens = TokenVectors(_freeze(tokens.vectors), tokens.counts) if tokens else None
    return Embeddings(vectors, embeddings.token_counts, frozen_tokens)


def _freeze(array: NDArray[N]) -> NDArray[N]:
    copy = array.copy()
    copy.setflags(write=False)
    return copy


def _size_bytes(embeddings: Embeddings) -> int:
    token_bytes = embeddings.tokens.vectors.nbytes if embeddings.tokens else 0
    return OVERHEAD_BYTES + embeddings.vectors.nbytes + token_bytes
