"""Cache of the token vectors of reranked texts: a text that comes again costs no forward pass."""

from __future__ import annotations

import sys
from typing import NamedTuple

from gateways.core.backend import F32
from gateways.core.cache.lru import Lru
from gateways.core.observability import metrics


class Read(NamedTuple):
    """A text as a model read it: float32 (rows, dimensions), one row for each of its own tokens, and all it read."""

    vectors: F32
    tokens: int


class RerankCache(Lru[Read]):
    """
    Texts as they were read; for one thread, the event loop's.

    Kept in float32, as they came out of the model: a text that is remembered scores bit for bit as it did.
    """

    def __init__(self, budget_bytes: int) -> None:
        """Hold `budget_bytes` at most; 0 remembers nothing, and counts nothing."""
        super().__init__(budget_bytes, metrics.rerank_cache_hits, metrics.rerank_cache_misses)

    def put(self, key: bytes, read: Read) -> None:
        """Remember a copy under a `key_of`."""
        # The rows are a view of a whole batch, padding included: kept as they are, they would keep all of it.
        kept = Read(read.vectors.copy(), read.tokens)
        kept.vectors.setflags(write=False)
        self.hold(key, kept, kept.vectors.nbytes + sum(map(sys.getsizeof, (key, kept))))
