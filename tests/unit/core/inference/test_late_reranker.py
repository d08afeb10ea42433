"""Late interaction: each distinct text is encoded once, remembered within a bound, and no score changes for it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from gateways.core.backend import EncodeOptions, Scores, Times, Truncate
from gateways.core.cache.token_vector_cache import Read
from gateways.core.errors import InvalidInput, InvalidRequest
from gateways.core.inference.late_reranker import DOCUMENTS_AT_ONCE, LateReranker
from gateways.core.inference.local_backend import LocalBackend
from gateways.core.inference.pseudo_backend import DEFAULT, MAX_TOKENS, PseudoBackend
from gateways.core.observability import metrics
from gateways.core.settings import ModelSettings

ROOT = Path(__file__).resolve().parents[4]
CACHE_BYTES = 16_000_000
QUERY = "How many vacation days do I get?"
DOCUMENTS = [
    "The parking policy is in section 5",
    "You get 20 vacation days per year",
    "You can request time off here",
    *(f"Paragraph {n} of the handbook says " + "a word more " * n for n in range(DOCUMENTS_AT_ONCE + 4)),
]
LONG = "word " * (MAX_TOKENS + 1)
PASS_TIMES = Times(tokenize_ms=1.0, queue_ms=2.0, infer_ms=4.0)


class HashedWords:
    """Token vectors from hashed words, and the texts of every pass."""

    def __init__(self) -> None:
        self.passes: list[list[str]] = []
        self._backend = PseudoBackend()

    async def encode(self, model: str, texts: Sequence[str], options: EncodeOptions) -> tuple[list[Read], Times]:
        """Encode n texts in one pass."""
        answer = await self._backend.embed_tokens(model, texts, options)
        self.passes.append(list(texts))
        rows = np.split(answer.vectors, np.cumsum(answer.token_counts)[:-1])
        return [Read(*read) for read in zip(rows, answer.token_counts, strict=True)], PASS_TIMES.copy()


class Reranking:
    """A reranker over hashed words."""

    def __init__(self, cache_bytes: int = CACHE_BYTES) -> None:
        self.words = HashedWords()
        self._reranker = LateReranker(self.words.encode, cache_bytes)

    def rerank(self, query: str, documents: Sequence[str], truncate: Truncate = "END") -> Scores:
        """Score documents, on an event loop of its own."""
        return asyncio.run(self._reranker.rerank(DEFAULT, query, documents, EncodeOptions(truncate)))


def test_the_same_request_again_encodes_nothing_and_changes_nothing() -> None:
    """Scores and token counts are those of the first time."""
    reranking = Reranking()
    first = reranking.rerank(QUERY, DOCUMENTS)
    reranking.words.passes.clear()

    second = reranking.rerank(QUERY, DOCUMENTS)

    assert reranking.words.passes == []
    assert np.array_equal(second.values, first.values)
    assert second.token_counts == first.token_counts


def test_another_query_is_the_only_text_encoded() -> None:
    """Documents that one query was compared with are not encoded for the next, in whatever order they come."""
    reranking = Reranking()
    reranking.rerank(QUERY, DOCUMENTS)
    reranking.words.passes.clear()

    answer = reranking.rerank("parking policy", DOCUMENTS[::-1])

    assert reranking.words.passes == [["parking policy"]]
    assert DOCUMENTS[::-1][int(answer.values.argmax())] == DOCUMENTS[0]


@pytest.mark.parametrize("cache_bytes", [CACHE_BYTES, 0])
def test_scores_are_those_of_each_document_alone(cache_bytes: int) -> None:
    """Remembered or not: texts that return, repeat, or are the query itself score as each does alone."""
    reranking = Reranking(cache_bytes)
    documents = [*DOCUMENTS, QUERY, *DOCUMENTS[:3]]
    reranking.rerank("something else", DOCUMENTS[1:7])

    answer = reranking.rerank(QUERY, documents)

    alone = [Reranking(0).rerank(QUERY, [document]) for document in documents]
    assert answer.values == pytest.approx([float(scores.values[0]) for scores in alone], abs=1e-5)
    assert answer.token_counts == [alone[0].token_counts[0], *(scores.token_counts[1] for scores in alone)]


@pytest.mark.parametrize("cache_bytes", [CACHE_BYTES, 0])
def test_a_document_that_repeats_is_encoded_once(cache_bytes: int) -> None:
    """However far apart; it is scored and counted at every place."""
    reranking = Reranking(cache_bytes)

    answer = reranking.rerank(QUERY, [*DOCUMENTS, *DOCUMENTS])

    half = len(DOCUMENTS)
    assert sorted(text for texts in reranking.words.passes for text in texts) == sorted([QUERY, *DOCUMENTS])
    assert np.array_equal(answer.values[:half], answer.values[half:])
    assert answer.token_counts[1 : half + 1] == answer.token_counts[half + 1 :]


def test_a_long_list_is_encoded_in_bounded_passes() -> None:
    """The token vectors of a long list would be gigabytes; the query goes with the first documents."""
    reranking = Reranking()

    answer = reranking.rerank(QUERY, DOCUMENTS)

    rest = len(DOCUMENTS) - DOCUMENTS_AT_ONCE
    assert [len(texts) for texts in reranking.words.passes] == [DOCUMENTS_AT_ONCE + 1, rest]
    assert reranking.words.passes[0][0] == QUERY
    assert (answer.tokenize_ms, answer.queue_ms) == (2.0, 4.0)  # of both passes
    assert answer.infer_ms > 8.0  # and the comparison


def test_a_document_that_is_too_long_is_named_by_its_place() -> None:
    """`truncate: NONE`: its first place, whatever repeats or was remembered before it; or the query."""
    reranking = Reranking()
    reranking.rerank(QUERY, DOCUMENTS[:2], "NONE")
    documents = [DOCUMENTS[0], DOCUMENTS[0], *DOCUMENTS, LONG, DOCUMENTS[1], LONG]

    with pytest.raises(InvalidInput) as of_document:
        reranking.rerank(QUERY, documents, "NONE")
    with pytest.raises(InvalidRequest, match=r"^query has \d+ tokens") as of_query:
        reranking.rerank(f"{LONG} too", documents, "NONE")

    assert of_document.value.item == documents.index(LONG)
    assert of_query.value.param == "query"


def test_a_loaded_model_computes_a_text_once() -> None:
    """MiniLM on ONNX Runtime: the second time costs no forward pass; token counts include special tokens."""
    onnx = pytest.importorskip("gateways.onnx_py.runtime")
    settings = ModelSettings(models_file=ROOT / "models.yaml", models_dir=ROOT / "models", device="cpu", threads=1)

    def forward_texts() -> float:
        return metrics.registry.get_sample_value("gateway_forward_texts_total") or 0.0

    async def run() -> None:
        async with LocalBackend(onnx, settings) as backend:
            before = forward_texts()
            first = await backend.rerank("late-interaction", QUERY, DOCUMENTS)
            assert forward_texts() - before == len(DOCUMENTS) + 1

            second = await backend.rerank("late-interaction", QUERY, DOCUMENTS)

            assert forward_texts() - before == len(DOCUMENTS) + 1
            assert np.array_equal(second.values, first.values)
            tokens = await backend.tokenize("late-interaction", [QUERY, *DOCUMENTS])
            assert second.token_counts == first.token_counts == [len(text) for text in tokens]
            assert second.infer_ms > 0

    asyncio.run(run())
