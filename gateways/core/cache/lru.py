"""An LRU cache with a budget in bytes."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import Generic, TypeVar

from prometheus_client import Counter

from gateways.core.backend import Truncate

T = TypeVar("T")


class Lru(Generic[T]):
    """Values by key; the least recently used value is evicted first. For the event loop's thread only."""

    def __init__(self, budget_bytes: int, hits: Counter, misses: Counter) -> None:
        """Hold at most `budget_bytes`; 0 switches the cache and its hit counters off."""
        self.budget_bytes = budget_bytes
        self._hits, self._misses = hits, misses
        self._held: OrderedDict[bytes, tuple[T, int]] = OrderedDict()
        self.held_bytes = 0

    def get(self, key: bytes) -> T | None:
        """Return the value of a key, or None. The value becomes the most recently used one."""
        if not self.budget_bytes:
            return None
        entry = self._held.get(key)
        if entry is None:
            self._misses.inc()
            return None
        self._hits.inc()
        self._held.move_to_end(key)
        return entry[0]

    def hold(self, key: bytes, value: T, needed_bytes: int) -> None:
        """Store a value of `needed_bytes`, key included. A value over the whole budget is not stored."""
        if key in self._held or needed_bytes > self.budget_bytes:
            return
        while self.held_bytes + needed_bytes > self.budget_bytes:
            _, (_, freed_bytes) = self._held.popitem(last=False)
            self.held_bytes -= freed_bytes
        self._held[key] = value, needed_bytes
        self.held_bytes += needed_bytes


def key_of(model: str, truncate: Truncate, text: str) -> bytes:
    """Return the cache key of a text: a 128-bit hash of the model, by what tells it apart, truncation and text."""
    # A NUL separates the parts: no model id and no `truncate` contains one.
    content = f"{model}\0{truncate}\0{text}"
    return blake2b(content.encode("utf-8", "surrogatepass"), digest_size=16).digest()
