"""The cache of token vectors: within its bound, LRU, and every entry as it was put."""

from __future__ import annotations

import numpy as np
import pytest

from gateways.core.backend import F32
from gateways.core.cache.lru import key_of
from gateways.core.cache.token_vector_cache import Read, RerankCache
from gateways.core.observability import metrics

ROWS, COLUMNS = 10, 64
COUNTERS = ("gateway_rerank_cache_hits_total", "gateway_rerank_cache_misses_total")


def rows(value: float) -> F32:
    """Return the vectors of a text: the beginning of a batch that is padded to twice its length."""
    return np.full((2 * ROWS, COLUMNS), value, np.float32)[:ROWS]


def counters() -> list[float | None]:
    """Return the hits and the misses counted in this process."""
    return [metrics.registry.get_sample_value(name) for name in COUNTERS]


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    """Within the bound always; reading a text is using it, and its vectors come back as they were."""
    entry = Read(rows(1), ROWS + 2)
    cache = RerankCache(3 * rows(1).nbytes + 1_000)
    for name in (b"a", b"b", b"c"):
        cache.put(name, entry)
    assert cache.get(b"a")

    cache.put(b"d", Read(rows(4), ROWS + 2))

    assert [cache.get(name) is not None for name in (b"a", b"b", b"c", b"d")] == [True, False, True, True]
    assert 3 * rows(1).nbytes < cache.held_bytes <= 3 * rows(1).nbytes + 1_000
    hit = cache.get(b"d")
    assert hit
    assert np.array_equal(hit.vectors, rows(4))
    assert hit.tokens == ROWS + 2


def test_the_bound_holds_whatever_comes() -> None:
    """Texts of all lengths, one longer than everything that may be held among them, some of them twice."""
    cache = RerankCache(20_000)
    lengths = np.random.default_rng(0).integers(1, 90, 500).tolist()

    for at, length in enumerate(lengths):
        cache.put(b"%d" % (at % 200), Read(np.zeros((length, COLUMNS), np.float32), length))
        held = [read for n in range(200) if (read := cache.get(b"%d" % n))]

        assert sum(read.vectors.nbytes for read in held) < cache.held_bytes <= 20_000
    assert max(lengths) * COLUMNS * 4 > 20_000


def test_what_is_held_is_a_copy() -> None:
    """No batch with its padding is kept for one text's sake, and no reader can change what the next one gets."""
    cache = RerankCache(10_000)
    batch = rows(1)
    cache.put(b"a", Read(batch, ROWS))
    batch[:] = 2

    hit = cache.get(b"a")

    assert hit
    assert hit.vectors.base is None
    assert np.array_equal(hit.vectors, rows(1))
    with pytest.raises(ValueError, match="read-only"):
        hit.vectors[0] = 3


def test_without_a_budget_nothing_is_held_or_counted() -> None:
    """RERANK_CACHE_MB=0 turns it off."""
    before, cache = counters(), RerankCache(0)
    cache.put(b"a", Read(rows(1), ROWS))

    assert cache.get(b"a") is None
    assert cache.held_bytes == 0
    assert counters() == before


def test_another_model_or_another_end_is_another_text() -> None:
    """What token vectors depend on is in the key; so is every character, a lone surrogate too."""
    keys = [
        key_of("one", "END", "a text"),
        key_of("two", "END", "a text"),
        key_of("one", "START", "a text"),
        key_of("one", "END", "a text "),
        key_of("one", "END", "a text\ud800"),
    ]

    assert len(set(keys)) == len(keys)
    assert keys[0] == key_of("one", "END", "a text")
