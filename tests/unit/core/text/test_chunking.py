"""Where a text is cut: paragraphs stay whole and apart, short ones are put together, long ones are cut evenly."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.core.inference.pseudo_backend import count_words
from gateways.core.text.chunking import chunk

MAX = 20


def words(count: int, name: str = "W") -> str:
    """So many words in sentences of five, each with its full stop: six tokens a sentence."""
    sentences = [
        " ".join(f"{name}{at}" for at in range(first, min(first + 5, count))) for first in range(0, count, 5)
    ]
    return ". ".join(sentences)


def cut(text: str, max_tokens: int = MAX, overlap: int = 0) -> list[str]:
    """Return the chunks of a text, measured in words."""
    return [text[start:end] for start, end in chunk(count_words, [text], max_tokens, overlap)[0]]


def test_paragraphs_stay_apart_though_two_would_fit() -> None:
    """From a quarter of `max_tokens` on, each is a passage; a blank line may hold white space."""
    paragraphs = [words(5, "A"), words(6, "B"), words(14, "C")]

    assert cut(" \r\n\t\r\n\n".join(paragraphs)) == paragraphs


def test_short_paragraphs_are_put_together() -> None:
    """A heading goes with its text, and items of a list with each other, while all of it fits."""
    assert cut("Heading\n\n" + words(12)) == ["Heading\n\n" + words(12)]
    assert cut("one\n\ntwo\n\nthree\n\nfour\n\nfive\n\nsix") == ["one\n\ntwo\n\nthree\n\nfour\n\nfive", "six"]
    assert cut("Heading\n\n" + words(17)) == ["Heading", words(17)]


def test_a_long_paragraph_is_cut_at_sentences_and_shares_nothing_with_the_next() -> None:
    """No piece is under half full but the last, and the overlap is of the same paragraph."""
    text = f"{words(40, 'A')}.\n\n{words(8, 'B')}."

    for overlap in (0, 6):
        *pieces, last = cut(text, overlap=overlap)

        assert last == f"{words(8, 'B')}."
        assert all(piece.endswith(".") for piece in pieces)
        assert all(MAX / 2 <= count_words(piece) <= MAX for piece in pieces[:-1])
        assert any(words(5, "A") in piece for piece in pieces)
        assert (sum(map(count_words, pieces)) > count_words(f"{words(40, 'A')}.")) is bool(overlap)


def test_what_is_too_long_to_measure_at_once_is_cut_too() -> None:
    """Without one blank line in it, and with a word that is longer than any chunk."""
    text = "x" * 5_000 + " " + words(500)

    pieces = cut(text, max_tokens=8)

    assert pieces[0] == "x" * 5_000 or pieces[0].startswith("x" * 5_000)
    assert max(map(count_words, pieces)) <= 8
    assert "".join("".join(pieces).split()) == "".join(text.split())


@pytest.mark.parametrize("text", ["", " ", "\n\n \n\n"])
def test_nothing_has_no_chunks(text: str) -> None:
    """White space alone is no passage."""
    assert cut(text) == []


@given(st.text(alphabet="ab .\n\r\t\u3000\U0001f680", max_size=120), st.integers(8, 12), st.integers(0, 3))
def test_nothing_is_lost_and_nothing_is_too_long(text: str, max_tokens: int, overlap: int) -> None:
    """Chunks are in order and fit; all they leave out is white space."""
    [spans] = chunk(count_words, [text], max_tokens, overlap)

    assert all(start < end for start, end in spans)
    assert all(span[0] < successor[0] and span[1] < successor[1] for span, successor in pairwise(spans))
    assert all(count_words(text[start:end]) <= max_tokens for start, end in spans)
    kept = {at for start, end in spans for at in range(start, end)}
    assert "".join(letter for at, letter in enumerate(text) if at not in kept).strip() == ""
