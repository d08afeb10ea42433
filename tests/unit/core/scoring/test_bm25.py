"""BM25: a word is the same word however its characters are written."""

from __future__ import annotations

import pytest

from gateways.core.scoring import bm25


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("caf\u00e9", "cafe\u0301"),
        ("\ufb01nance", "finance"),
        ("\uff21\uff22\uff23", "abc"),
        ("\u212bngstr\u00f6m", "\u00e5ngstro\u0308m"),
    ],
)
def test_the_forms_of_a_word_have_the_same_weight(one: str, other: str) -> None:
    """Composed and decomposed, with ligatures, in full width: in documents as in queries."""
    [document], [query] = (bm25.embed([text], query=text is other).rows for text in (one, other))

    assert document.indices.tolist() == query.indices.tolist() != []


def test_other_letters_stay_other_words() -> None:
    """An accent is part of a word."""
    [plain, accented] = bm25.embed(["cafe", "caf\u00e9"], query=True).rows

    assert plain.indices.tolist() != accented.indices.tolist()
