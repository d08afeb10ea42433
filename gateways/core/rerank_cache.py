"""The token vectors that reranking compared lately, so that a text that comes back costs no forward pass."""

from __future__ import annotations

import sys
from collections import OrderedDict
from hashlib import blake2b
from typing import NamedTuple

from gateways.core import metrics
from gateways.core.backend import F32, Truncate


class Read(NamedTuple):
    """A text as a model read it: float32 (rows, dimensions), one row for each of its own tokens, and all it read."""

    vectors: F32
    tokens: int


class RerankCache:
    """
    Texts as they were read, the one used longest ago forgotten first; for one thread, the event loop's.

    Kept in float32, as they came out of the model: a text that is remembered scores bit for bit as it did.
    """

    def __init__(self, budget_bytes: int) -> None:
        """Hold `budget_bytes` at most, keys included; 0 remembers nothing, and counts nothing."""
        self._budget_bytes = budget_bytes
        self._held: OrderedDict[bytes, Read] = OrderedDict()
        self.held_bytes = 0

    def get(self, key: bytes) -> Read | None:
        """Return what is remembered under a `key_of`, now the one used last."""
        if not self._budget_bytes:
            return None
        found = self._held.get(key)
        if found is None:
            metrics.rerank_cache_misses.inc()
            return None
        metrics.rerank_cache_hits.inc()
        self._held.move_to_end(key)
        return found

    def put(self, key: bytes, read: Read) -> None:
        """Remember a copy, in place of what was used longest ago; nothing that alone is more than the budget."""
        needed = _bytes(key, read)
        if key in self._held or needed > self._budget_bytes:
            return
        while self.held_bytes + needed > self._budget_bytes:
            self.held_bytes -= _bytes(*self._held.popitem(last=False))
        # The rows are a view of a whole batch, padding included: kept as they are, they would keep all of it.
        kept = Read(read.vectors.copy(), read.tokens)
        kept.vectors.setflags(write=False)
        self._held[key] = kept
        self.held_bytes += needed


def key_of(model: str, truncate: Truncate, text: str) -> bytes:
    """Return what a text is remembered by: 128 bits of everything that its token vectors depend on."""
    # No id of a model and no way of truncating has a NUL in it.
    said = f"{model}\0{truncate}\0{text}"
    return blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def _bytes(key: bytes, read: Read) -> int:
    return read.vectors.nbytes + sum(map(sys.getsizeof, (key, read)))
