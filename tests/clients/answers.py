"""The data and assertions about vectors and rankings that the tests of all clients share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tests.contract.client import cosine

SAME = 0.99999

QUERY = "How many vacation days do I get?"
DOCUMENTS = [
    "The parking policy is in section 5",
    "You get 20 vacation days per year",
    "You can request time off here",
]
BEST_FIRST = [1, 2, 0]


class Golden(NamedTuple):
    """
    Texts with the vectors and token counts of sentence-transformers.

    `ids` has pairs of token ids and the vector of their text.
    """

    model: str
    texts: list[str]
    vectors: list[list[float]]
    tokens: list[int]
    ids: list[tuple[list[int], list[float]]]


def assert_same(
    vectors: Sequence[Sequence[float]], expected: Sequence[Sequence[float]], at_least: float = SAME
) -> None:
    """Fail unless each vector's cosine to the expected vector at its place is `at_least` or more."""
    assert len(vectors) == len(expected)
    for place, (vector, reference) in enumerate(zip(vectors, expected, strict=True)):
        assert cosine(vector, reference) >= at_least, f"vector {place}: cosine {cosine(vector, reference)}"


def assert_ranking(places: Sequence[int], scores: Sequence[float], top: int = len(DOCUMENTS)) -> None:
    """Fail unless `places` are the `top` first of BEST_FIRST. Scores must fall and be from 0 to 1."""
    assert list(places) == BEST_FIRST[:top]
    assert list(scores) == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
