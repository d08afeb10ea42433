"""The filter language of `/v1/search`: equality, membership, ranges, and their combinations."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests.contract.client import ingest, list_ids, post_search, search

pytestmark = pytest.mark.requires("ingest", "jobs", "search", "filter")

BOOKS: dict[str, dict[str, Any]] = {
    "a": {"lang": "en", "year": 1999, "price": 9.5, "tags": ["sea", "war"], "signed": True, "at": {"sale": True}},
    "b": {"lang": "en", "year": 2005, "price": 12.0, "tags": ["sea"], "signed": False, "at": {"sale": [False, 1]}},
    "c": {"lang": "de", "year": 2005, "price": -1, "author": {"name": "Mann", "born": 1875}},
    "d": {"lang": "fr", "year": 2010, "signed": 1, "big": 2**53 + 1},
    "e": {"lang": "EN", "year": "2005", "a field": "x", "big": 2**53},
    "f": {},
}

CASES: list[tuple[str, dict[str, Any], str]] = [
    ("equality", {"lang": "en"}, "ab"),
    ("equality written out", {"lang": {"eq": "en"}}, "ab"),
    ("equality of a number", {"year": 2005}, "bc"),
    ("an integer equals its float", {"price": 12}, "b"),
    ("a string is not a number", {"year": "2005"}, "e"),
    ("a boolean", {"signed": True}, "a"),
    ("false is not absent", {"signed": False}, "b"),
    ("a nested boolean", {"at.sale": True}, "a"),
    ("a boolean in a list", {"at.sale": False}, "b"),
    ("not a nested boolean", {"not": {"at.sale": True}}, "bcdef"),
    ("membership in booleans", {"signed": {"in": [True, False]}}, "ab"),
    ("membership in many", {"lang": {"in": ["de", None, *range(100)]}}, "c"),
    ("one is not true", {"signed": 1}, "d"),
    ("a value in a list", {"tags": "war"}, "a"),
    ("a nested field", {"author.name": "Mann"}, "c"),
    ("a range in a nested field", {"author.born": {"lt": 1900}}, "c"),
    ("a space in the name", {"a field": "x"}, "e"),
    ("an exact big integer", {"big": 2**53 + 1}, "d"),
    ("a field nobody has", {"publisher": "x"}, ""),
    ("fields side by side", {"lang": "en", "year": 1999}, "a"),
    ("membership", {"lang": {"in": ["de", "fr"]}}, "cd"),
    ("membership of one", {"lang": {"in": ["fr"]}}, "d"),
    ("membership in numbers", {"year": {"in": [1999, 2010, 3000]}}, "ad"),
    ("at least", {"year": {"gte": 2005}}, "bcd"),
    ("more than", {"year": {"gt": 2005}}, "d"),
    ("at most", {"year": {"lte": 2005}}, "abc"),
    ("less than", {"year": {"lt": 2005}}, "a"),
    ("between", {"year": {"gt": 1999, "lt": 2010}}, "bc"),
    ("between, ends included", {"year": {"gte": 1999, "lte": 2010}}, "abcd"),
    ("an empty range", {"year": {"gt": 2005, "lt": 2005}}, ""),
    ("a fraction", {"price": {"gt": 9.4, "lt": 9.6}}, "a"),
    ("below zero", {"price": {"lt": 0}}, "c"),
    ("and", {"and": [{"lang": "en"}, {"year": {"gt": 2000}}]}, "b"),
    ("and of one", {"and": [{"lang": "en"}]}, "ab"),
    ("or", {"or": [{"lang": "de"}, {"year": 1999}]}, "ac"),
    ("not", {"not": {"lang": "en"}}, "cdef"),
    ("not of two fields", {"not": {"lang": "en", "year": 1999}}, "bcdef"),
    ("not not", {"not": {"not": {"lang": "en"}}}, "ab"),
    ("not of or", {"not": {"or": [{"lang": "en"}, {"lang": "de"}]}}, "def"),
    ("or of ands", {"or": [{"lang": "en", "year": 1999}, {"and": [{"lang": "de"}, {"year": 2005}]}]}, "ac"),
    ("a field beside not", {"year": 2005, "not": {"lang": "de"}}, "b"),
]


@pytest.fixture(scope="module")
def shelf(http: httpx.Client) -> str:
    """Return the name of a collection of books that differ only in their metadata. Tests only read it."""
    name = f"shelf-{uuid4().hex[:12]}"
    ingest(
        http,
        [{"id": key, "text": f"book {key}", "metadata": metadata} for key, metadata in BOOKS.items()],
        collection=name,
    )
    return name


@pytest.mark.parametrize(("condition", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_a_filter_keeps_exactly_what_it_holds_for(
    http: httpx.Client, shelf: str, condition: dict[str, Any], expected: str
) -> None:
    """Search finds every document that matches the filter, and no other."""
    assert sorted(list_ids(search(http, "book", collection=shelf, filter=condition, top_k=100))) == list(expected)


def test_a_filter_comes_before_top_k(http: httpx.Client, shelf: str) -> None:
    """The results are the k best documents that match, not the matches among the k best of all."""
    assert list_ids(search(http, "book a", collection=shelf, filter={"lang": "fr"}, top_k=1)) == ["d"]


def test_a_filter_does_not_change_scores(http: httpx.Client, shelf: str) -> None:
    """A document's score is the same with and without a filter."""
    scores = {result["id"]: result["score"] for result in search(http, "book c", collection=shelf, top_k=100)}

    for result in search(http, "book c", collection=shelf, filter={"year": 2005}):
        assert result["score"] == pytest.approx(scores[result["id"]], abs=1e-5)


@pytest.mark.parametrize(
    ("condition", "unknown"),
    [
        ({"language": "en"}, ["language"]),
        ({"lang": "en", "author.age": {"gt": 3}}, ["author.age"]),
        ({"lang": "xx"}, []),
        ({"lang": "en"}, []),
        ({"not": {"language": "en"}}, []),
    ],
)
def test_a_field_that_no_document_has_is_told(
    http: httpx.Client, shelf: str, condition: dict[str, Any], unknown: list[str]
) -> None:
    """A search that finds nothing warns of each field of its filter that is in no document."""
    warnings = post_search(http, "book", collection=shelf, filter=condition)["warnings"]

    assert len(warnings) == len(unknown)
    assert all(repr(name) in warning for name, warning in zip(unknown, warnings, strict=True))
