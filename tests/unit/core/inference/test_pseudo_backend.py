"""The backend without a model does all that a backend does, by rules one can work out by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.core.backend import EncodeOptions
from gateways.core.errors import InvalidInput
from gateways.core.inference.pseudo_backend import DEFAULT, DIMENSIONS, MAX_TOKENS, PseudoBackend, count_words

T = TypeVar("T")
WORDS = st.lists(st.sampled_from(["an", "apple", "and", "a", "pear", "lie", ",", "not", "here"]), min_size=1)
BACKEND = PseudoBackend()


def await_answer(answer: Awaitable[T]) -> T:
    """Return what a backend answers."""

    async def wait() -> T:
        return await answer

    return asyncio.run(wait())


@given(st.lists(WORDS.map(" ".join), min_size=1, max_size=5), st.sampled_from(sorted(DIMENSIONS)))
def test_word_vectors_are_units_and_add_up_to_the_text(texts: list[str], model: str) -> None:
    """Late interaction and search look at the same words, in as many dimensions as the model has."""
    whole, words = await_answer(BACKEND.embed(model, texts)), await_answer(BACKEND.embed_tokens(model, texts))

    of_texts = np.split(words.vectors, np.cumsum(words.token_counts)[:-1])

    assert whole.vectors.shape == (len(texts), DIMENSIONS[model])
    assert whole.token_counts == words.token_counts
    assert np.allclose(np.linalg.norm(words.vectors, axis=1), 1, atol=1e-5)
    assert np.allclose(np.stack([rows.sum(axis=0) for rows in of_texts]), whole.vectors, atol=1e-4)


def test_a_document_scores_by_the_words_it_holds() -> None:
    """All of the query's words: 1. Fewer: less. None: about what chance gives."""
    documents = ["the pear and the apple", "an apple", "nothing of it", "APPLE PEAR"]

    scores = await_answer(BACKEND.rerank("", "apple pear", documents)).values

    assert scores[[0, 3]] == pytest.approx(1, abs=1e-5)
    assert 0.4 < scores[1] < 0.7
    assert -0.2 < scores[2] < 0.2


def test_a_document_that_is_too_long_is_named_as_one() -> None:
    """With truncate NONE the error has the index of the document; the query is no document."""
    with pytest.raises(InvalidInput) as refused:
        await_answer(BACKEND.rerank("", "query", ["short", "long " * (MAX_TOKENS + 1)], EncodeOptions("NONE")))

    assert refused.value.item == 1


@given(WORDS.map(" ".join))
def test_tokens_are_the_words_where_they_stand(text: str) -> None:
    """Each word's place gives the word, as many as were counted for its vector."""
    [tokens] = await_answer(BACKEND.tokenize("", [text]))

    assert [text[token.start : token.stop] for token in tokens] == [token.text for token in tokens]
    assert len(tokens) == count_words(text) == await_answer(BACKEND.embed(DEFAULT, [text])).token_counts[0]


@given(st.lists(WORDS.map(" ".join), max_size=8).map(". ".join), st.integers(2, 9), st.integers(0, 1))
def test_chunks_hold_every_word_and_no_more_than_they_may(text: str, max_tokens: int, overlap: int) -> None:
    """In order, within the limit, and nothing but white space is left out."""
    [spans] = await_answer(BACKEND.chunk("", [text], max_tokens, overlap))

    covered = set[int]().union(*(range(start, stop) for start, stop in spans))
    assert all(count_words(text[start:stop]) <= max_tokens for start, stop in spans)
    assert spans == sorted(spans)
    assert not {at for at, character in enumerate(text) if not character.isspace()} - covered
