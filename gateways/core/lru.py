"""What was used lately, in so many bytes at most; what was used longest ago is forgotten first."""

from __future__ import annotations

from collections import OrderedDict
from hashlib import blake2b
from typing import Generic, TypeVar

from prometheus_client import Counter

from gateways.core.backend import Truncate

T = TypeVar("T")


class Lru(Generic[T]):
    """Values by their keys, for one thread, the event loop's."""

    def __init__(self, budget_bytes: int, hits: Counter, misses: Counter) -> None:
        """Hold `budget_bytes` at most; 0 remembers nothing, and counts nothing."""
        self.budget_bytes = budget_bytes
        self._hits, self._misses = hits, misses
        self._held: OrderedDict[bytes, tuple[T, int]] = OrderedDict()
        self.held_bytes = 0

    def get(self, key: bytes) -> T | None:
        """Return what is remembered under a key, now the one used last."""
        if not self.budget_bytes:
            return None
        found = self._held.get(key)
        if found is None:
            self._misses.inc()
            return None
        self._hits.inc()
        self._held.move_to_end(key)
        return found[0]

    def hold(self, key: bytes, value: T, needed_bytes: int) -> None:
        """Remember a value that takes so many bytes, its key included; nothing that alone is over the budget."""
        if key in self._held or needed_bytes > self.budget_bytes:
            return
        while self.held_bytes + needed_bytes > self.budget_bytes:
            _, (_, freed_bytes) = self._held.popitem(last=False)
            self.held_bytes -= freed_bytes
        self._held[key] = value, needed_bytes
        self.held_bytes += needed_bytes


def key_of(model: str, truncate: Truncate, text: str) -> bytes:
    """Return what a text is remembered by: 128 bits of all that its vectors depend on."""
    # No id of a model and no way of truncating has a NUL in it.
    said = f"{model}\0{truncate}\0{text}"
    return blake2b(said.encode("utf-8", "surrogatepass"), digest_size=16).digest()
