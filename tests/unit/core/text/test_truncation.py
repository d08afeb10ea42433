"""Inputs that a model cannot read: which end is cut, and which input and token an error is about."""

from __future__ import annotations

import pytest

from gateways.core.backend import Truncate
from gateways.core.errors import InvalidInput, InvalidRequest
from gateways.core.text.truncation import check_fits, check_ids, cut, of_document

TOKENS = ["a", "b", "c", "d", "e"]


@pytest.mark.parametrize(("truncate", "kept"), [("END", ["a", "b"]), ("START", ["d", "e"])])
def test_an_end_is_cut_off(truncate: Truncate, kept: list[str]) -> None:
    """END keeps the first tokens, START the last ones."""
    assert cut(TOKENS, 2, truncate, 0) == kept


@pytest.mark.parametrize("truncate", ["END", "START", "NONE"])
def test_tokens_that_fit_stay(truncate: Truncate) -> None:
    """At the limit nothing is cut and nothing refused."""
    assert cut(TOKENS, len(TOKENS), truncate, 0) == TOKENS


def test_a_text_that_must_not_be_cut_is_refused() -> None:
    """The error has the index of the input, both lengths, and the cure."""
    with pytest.raises(InvalidInput) as refused:
        cut(TOKENS, 4, "NONE", 3)

    assert (refused.value.item, refused.value.offset) == (3, None)
    assert refused.value.body()["error"] == {
        "message": "input.3 has 5 tokens and this model reads 4, special tokens aside. "
        "Shorten it, or send truncate: END or START.",
        "type": "invalid_request_error",
        "param": "input.3",
        "code": "context_length_exceeded",
    }


def test_a_pair_that_must_not_be_cut_is_refused() -> None:
    """The error has the index of the document."""
    check_fits(False, 512, 0)

    with pytest.raises(InvalidInput, match=r"and the query are over the 512 tokens") as refused:
        check_fits(True, 512, 7)

    assert (refused.value.item, refused.value.code) == (7, "context_length_exceeded")


@pytest.mark.parametrize(("ids", "offset"), [([0, 9, 10], 2), ([-1], 0)])
def test_an_id_outside_the_vocabulary_is_refused(ids: list[int], offset: int) -> None:
    """The error has the index of the input and of the first wrong id in it."""
    check_ids([0, 9], 10, 0)

    with pytest.raises(InvalidInput) as refused:
        check_ids(ids, 10, 4)

    assert (refused.value.item, refused.value.offset) == (4, offset)
    assert refused.value.param == f"input.4.{offset}"
    assert refused.value.message.startswith(
        f"input.4.{offset} is token id {ids[offset]}; this model's ids go from 0 to 9."
    )


def test_an_error_about_an_input_becomes_one_about_its_document() -> None:
    """A reranker reads the query and the documents as one list of inputs."""
    error = InvalidInput("has 9 tokens.", code="context_length_exceeded", item=2)

    document, query = of_document(error, 70), of_document(error, -1)

    assert isinstance(document, InvalidInput)
    assert (document.item, document.fault, document.code) == (70, error.fault, error.code)
    assert type(query) is InvalidRequest
    assert (query.param, query.message, query.code) == ("query", "query has 9 tokens.", error.code)
