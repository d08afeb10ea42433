"""A document is cut into passages, and its text is put together again from them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateways.core.backend import Span
from gateways.core.errors import TooLarge
from gateways.core.ingest.passages import MAX_PASSAGES, cut, whole_text
from gateways.core.jobs.base import Document


@st.composite
def texts_and_spans(draw: st.DrawFn) -> tuple[str, list[Span]]:
    """Draw a text and spans of it in order: with gaps, overlaps, or one inside another."""
    text = draw(st.text(min_size=1, max_size=60))
    starts = sorted(draw(st.lists(st.integers(0, len(text) - 1), max_size=6)))
    return text, [(start, draw(st.integers(start + 1, len(text)))) for start in starts]


@given(texts_and_spans())
def test_a_document_comes_back_from_its_passages(drawn: tuple[str, list[Span]]) -> None:
    """For any gaps and overlaps the text is complete, and each passage quotes it exactly."""
    text, spans = drawn

    passages = cut(Document("doc", text, {"a": 1}), spans)

    assert whole_text(passages) == text
    assert [(passage.start, passage.end) for passage in passages] == (spans or [(0, len(text))])
    for number, passage in enumerate(passages):
        assert passage.text == text[passage.start : passage.end]
        assert (passage.number, passage.document_id, passage.metadata) == (number, "doc", {"a": 1})


def test_a_passage_that_is_the_document_has_its_id() -> None:
    """Other passages have its id and their number."""
    document = Document("doc", "one two")

    assert [passage.id for passage in cut(document, [])] == ["doc"]
    assert [passage.id for passage in cut(document, [(0, 7)])] == ["doc"]
    assert [passage.id for passage in cut(document, [(0, 3), (4, 7)])] == ["doc#0", "doc#1"]
    assert [passage.id for passage in cut(document, [(0, 3)])] == ["doc#0"]


def test_no_two_passages_have_the_same_id() -> None:
    """A document may be called like the passage of another one."""
    names = ["guide", "guide#1", "guide#1#0", "guide#", "#1", "guide#1\n", "\n#2", "#"]
    ids = [
        passage.id
        for name in names
        for document in [Document(name, "one two")]
        for passage in (*cut(document, []), *cut(document, [(0, 3), (4, 7)]))
    ]

    # A document is either cut or whole, so its own first passage may have both ids.
    numbered = [name for name in names if name.rpartition("#")[2].isdigit()]
    assert len(set(ids)) == 3 * len(names) - len(numbered)


def test_a_document_of_too_many_passages_is_refused() -> None:
    """The message has the number of passages, and the limit."""
    document = Document("doc", "x" * (MAX_PASSAGES + 1))

    with pytest.raises(TooLarge, match=f"{MAX_PASSAGES + 1} passages"):
        cut(document, [(at, at + 1) for at in range(MAX_PASSAGES + 1)])


def test_the_metadata_of_all_passages_together_is_limited() -> None:
    """A body of megabytes would fill gigabytes of disk and memory; the message says what to change."""
    document = Document("doc", "x" * 1_000, {"note": "y" * 60_000})

    assert len(cut(document, [(at, at + 1) for at in range(500)])) == 500
    with pytest.raises(TooLarge, match="shorten the metadata") as refused:
        cut(document, [(at, at + 1) for at in range(1_000)])
    assert refused.value.code == "metadata_too_large"
