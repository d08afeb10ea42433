"""The embeddings of single texts, as queries are: remembered, and while one is made, waited for by all who ask."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from gateways.core import metrics
from gateways.core.backend import Embeddings, TokenVectors
from gateways.core.lru import Lru

N = TypeVar("N", bound=np.generic)
# What the key, the place among the others and the objects around the arrays of one text take.
OBJECTS_BYTES = 800


class EmbedCache(Lru[Embeddings]):
    """Embeddings of one text each, by whatever they depend on; for one thread, the event loop's."""

    def __init__(self, budget_bytes: int) -> None:
        """Hold `budget_bytes` at most; with 0 every request is a forward pass of its own."""
        super().__init__(budget_bytes, metrics.embed_cache_hits, metrics.embed_cache_misses)
        self._making: dict[bytes, asyncio.Future[Embeddings | None]] = {}

    async def get_or_make(self, key: bytes, make: Callable[[], Awaitable[Embeddings]]) -> Embeddings:
        """
        Return what is remembered, or what `make` makes, once for all who ask meanwhile. Raises what it raises.

        When the request that makes it is given up, the next one of those who wait makes it.
        """
        if not self.budget_bytes:
            return await make()
        while making := self._making.get(key):
            if made := await asyncio.shield(making):
                metrics.embed_cache_hits.inc()
                return made
        return self.get(key) or await self._make(key, make)

    async def _make(self, key: bytes, make: Callable[[], Awaitable[Embeddings]]) -> Embeddings:
        making = self._making[key] = asyncio.get_running_loop().create_future()
        kept: Embeddings | None = None
        try:
            made = await make()
            kept = _kept(made)
            self.hold(key, kept, _bytes(kept))
        except Exception as error:
            making.set_exception(error)
            making.exception()  # now it was seen: asyncio has nothing to complain of when nobody else waits
            raise
        finally:
            del self._making[key]
            if not making.done():
                making.set_result(kept)
        return made


def _kept(made: Embeddings) -> Embeddings:
    """Return a copy that nobody can write to, and that took no time: `made` may be a view of a whole batch."""
    vectors = _frozen(made.vectors)
    tokens = TokenVectors(_frozen(made.tokens.vectors), made.tokens.counts) if made.tokens else None
    return Embeddings(vectors, made.token_counts, tokens)


def _frozen(array: NDArray[N]) -> NDArray[N]:
    copy = array.copy()
    copy.setflags(write=False)
    return copy


def _bytes(kept: Embeddings) -> int:
    return OBJECTS_BYTES + kept.vectors.nbytes + (kept.tokens.vectors.nbytes if kept.tokens else 0)
