"""Reranking remembers what it read lately: within a bound, once for each text, and without changing a score."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import numpy as np
import pytest

from gateways.core import metrics
from gateways.core.backend import F32, Scores
from gateways.core.errors import InvalidRequest
from gateways.core.local import INTERACTING, LocalBackend
from gateways.core.lru import key_of
from gateways.core.rerank_cache import Read, RerankCache
from gateways.core.settings import Settings

ROOT = Path(__file__).resolve().parents[2]
LATE = "late-interaction"
QUERY = "How many vacation days do I get?"
DOCUMENTS = [
    "The parking policy is in section 5",
    "You get 20 vacation days per year",
    "You can request time off here",
    *(f"Paragraph {n} of the handbook says " + "a word more " * n for n in range(INTERACTING + 4)),
]
ROWS, COLUMNS = 10, 64


def rows(value: float) -> F32:
    """Return the vectors of a text: the beginning of a batch that is padded to twice its length."""
    return np.full((2 * ROWS, COLUMNS), value, np.float32)[:ROWS]


def counted(name: str) -> float:
    """Return what a counter of this process stands at."""
    return metrics.registry.get_sample_value(name) or 0.0


class Counters:
    """How far the counters have moved."""

    def __init__(self) -> None:
        self._before = self._now()

    def moved(self) -> tuple[int, int, int]:
        """Return texts through the model, hits and misses."""
        forward, hits, misses = (int(now - old) for now, old in zip(self._now(), self._before, strict=True))
        return forward, hits, misses

    def _now(self) -> list[float]:
        names = ("forward_texts", "rerank_cache_hits", "rerank_cache_misses")
        return [counted(f"gateway_{name}_total") for name in names]


def with_backend(asked: Callable[[LocalBackend], Awaitable[None]], *, cache_mb: int = 16) -> None:
    """Ask a backend with MiniLM in it, on ONNX Runtime."""
    onnx = pytest.importorskip("gateways.onnx_py.model")
    settings = Settings(
        models_file=ROOT / "models.yaml",
        models_dir=ROOT / "models",
        device="cpu",
        threads=1,
        rerank_cache_mb=cache_mb,
    )

    async def run() -> None:
        async with LocalBackend(onnx, settings) as backend:
            await asked(backend)

    asyncio.run(run())


def test_what_was_used_longest_ago_is_forgotten_first() -> None:
    """Within the bound always; reading a text is using it, and its vectors come back as they were."""
    one = Read(rows(1), ROWS + 2)
    cache = RerankCache(3 * rows(1).nbytes + 1_000)
    for name in (b"a", b"b", b"c"):
        cache.put(name, one)
    assert cache.get(b"a")

    cache.put(b"d", Read(rows(4), ROWS + 2))

    assert [cache.get(name) is not None for name in (b"a", b"b", b"c", b"d")] == [True, False, True, True]
    assert 3 * rows(1).nbytes < cache.held_bytes <= 3 * rows(1).nbytes + 1_000
    found = cache.get(b"d")
    assert found
    assert np.array_equal(found.vectors, rows(4))
    assert found.tokens == ROWS + 2


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

    found = cache.get(b"a")

    assert found
    assert found.vectors.base is None
    assert np.array_equal(found.vectors, rows(1))
    with pytest.raises(ValueError, match="read-only"):
        found.vectors[0] = 3


def test_without_a_budget_nothing_is_held_or_counted() -> None:
    """RERANK_CACHE_MB=0 turns it off."""
    counters, cache = Counters(), RerankCache(0)
    cache.put(b"a", Read(rows(1), ROWS))

    assert cache.get(b"a") is None
    assert cache.held_bytes == 0
    assert counters.moved() == (0, 0, 0)


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


def test_the_second_time_costs_no_forward_pass_and_changes_nothing() -> None:
    """The same request again: no text through the model, and the scores and token counts of the first time."""

    async def asked(backend: LocalBackend) -> None:
        counters = Counters()
        first = await backend.rerank(LATE, QUERY, DOCUMENTS)
        assert counters.moved() == (len(DOCUMENTS) + 1, 0, len(DOCUMENTS) + 1)

        counters = Counters()
        second = await backend.rerank(LATE, QUERY, DOCUMENTS)

        assert counters.moved() == (0, len(DOCUMENTS) + 1, 0)
        assert np.array_equal(second.values, first.values)
        assert second.token_counts == first.token_counts
        tokens = await backend.tokenize(LATE, [QUERY, *DOCUMENTS])
        assert second.token_counts == [len(text) for text in tokens]  # special ones included
        assert second.infer_ms > 0

    with_backend(asked)


def test_another_question_costs_its_own_pass_alone() -> None:
    """Documents that were read for one question are not read again for the next, in whatever order they come."""

    async def asked(backend: LocalBackend) -> None:
        await backend.rerank(LATE, QUERY, DOCUMENTS)
        counters = Counters()

        answer = await backend.rerank(LATE, "Where do I park?", DOCUMENTS[::-1])

        assert counters.moved() == (1, len(DOCUMENTS), 1)
        assert DOCUMENTS[::-1][int(answer.values.argmax())] == DOCUMENTS[0]

    with_backend(asked)


@pytest.mark.parametrize("cache_mb", [16, 0])
def test_scores_are_those_without_a_cache(cache_mb: int) -> None:
    """Held or not: texts that come back, repeat, or are the query itself score as each does alone."""
    found: list[Scores] = []
    alone: list[Scores] = []

    async def asked(backend: LocalBackend) -> None:
        await backend.rerank(LATE, "something else", DOCUMENTS[1:7])
        found.append(await backend.rerank(LATE, QUERY, [*DOCUMENTS, QUERY, *DOCUMENTS[:3]]))

    async def one_by_one(backend: LocalBackend) -> None:
        alone.extend([await backend.rerank(LATE, QUERY, [text]) for text in [*DOCUMENTS, QUERY, *DOCUMENTS[:3]]])

    with_backend(asked, cache_mb=cache_mb)
    with_backend(one_by_one, cache_mb=0)

    assert found[0].values == pytest.approx([float(answer.values[0]) for answer in alone], abs=1e-5)
    assert found[0].token_counts == [alone[0].token_counts[0], *(answer.token_counts[1] for answer in alone)]


@pytest.mark.parametrize("cache_mb", [16, 0])
def test_a_document_that_repeats_is_read_once(cache_mb: int) -> None:
    """In one request, however far apart, with the cache or without; it is scored and counted wherever it stands."""

    async def asked(backend: LocalBackend) -> None:
        counters = Counters()

        answer = await backend.rerank(LATE, QUERY, [*DOCUMENTS, *DOCUMENTS])

        half = len(DOCUMENTS)
        assert counters.moved()[0] == half + 1
        assert np.array_equal(answer.values[:half], answer.values[half:])
        assert list(answer.token_counts[1 : half + 1]) == list(answer.token_counts[half + 1 :])

    with_backend(asked, cache_mb=cache_mb)


def test_a_document_that_is_too_long_is_named_by_its_place() -> None:
    """`truncate: NONE`: its first place, whatever repeats or was remembered before it; or the query."""
    long = "word " * 600

    async def asked(backend: LocalBackend) -> None:
        await backend.rerank(LATE, QUERY, DOCUMENTS[:2], truncate="NONE")
        documents = [DOCUMENTS[0], DOCUMENTS[0], *DOCUMENTS, long, DOCUMENTS[1], long]
        for query, place in ((QUERY, f"documents.{documents.index(long)}"), (f"{long} too", "query")):
            with pytest.raises(InvalidRequest) as refused:
                await backend.rerank(LATE, query, documents, truncate="NONE")

            assert refused.value.param == place
            assert refused.value.message.startswith(f"{place} has ")

    with_backend(asked)
