"""What the tests of all clients say about vectors and rankings."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tests.contract.wire import cosine

SAME = 0.99999

QUERY = "How many vacation days do I get?"
DOCUMENTS = [
    "The parking policy is in section 5",
    "You get 20 vacation days per year",
    "You can request time off here",
]
BEST_FIRST = [1, 2, 0]


class Golden(NamedTuple):
    """Texts, the vectors that sentence-transformers gives them, and their token counts."""

    model: str
    texts: list[str]
    vectors: list[list[float]]
    tokens: list[int]
    ids: list[tuple[list[int], list[float]]]


def assert_same(
    found: Sequence[Sequence[float]], expected: Sequence[Sequence[float]], at_least: float = SAME
) -> None:
    """Hold vectors to others, one by one and in order, by the cosine between them."""
    assert len(found) == len(expected)
    for place, (one, other) in enumerate(zip(found, expected, strict=True)):
        assert cosine(one, other) >= at_least, f"vector {place}: cosine {cosine(one, other)}"


def assert_ranking(places: Sequence[int], scores: Sequence[float], top: int = len(DOCUMENTS)) -> None:
    """Hold a ranking of DOCUMENTS for QUERY to what a person would say; the best first, scores from 0 to 1."""
    assert list(places) == BEST_FIRST[:top]
    assert list(scores) == sorted(scores, reverse=True)
    assert all(0 <= score <= 1 for score in scores)
