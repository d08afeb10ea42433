"""The filter language on the real engine: a filter matches exactly the passages for which it holds."""

from __future__ import annotations

import asyncio
import math
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateways.core.backend import SparseVector
from gateways.core.errors import InvalidRequest, TooLarge
from gateways.core.profiles import Profile
from gateways.core.stores.base import Passage, Vectors
from gateways.core.stores.edge import collection as edge_collection
from gateways.core.stores.edge.collection import EdgeCollection
from gateways.core.stores.filters import Limits, parse

NO_TERMS = SparseVector(np.empty(0, np.uint32), np.empty(0, np.float32))
METADATA: dict[str, dict[str, Any]] = {
    "a": {"lang": "en", "year": 1999, "score": 0.5, "ok": True, "tags": ["x", "y"], "by": {"name": "Ann"}},
    "b": {"lang": "de", "year": 2005, "score": -1.5, "ok": False, "tags": ["y"], "dotted.key": 1, "none": None},
    "c": {
        "lang": "en",
        "year": 2020,
        "big": 2**60 + 1,
        "two words": "q",
        "huge": 2**64 - 1,
        "vast": 1e300,
        "marks": [1, 9],
    },
}


@pytest.fixture
def collection(tmp_path: Path) -> EdgeCollection:
    """Return a collection with three passages of known metadata."""
    collection = edge_collection.create(tmp_path / "books", Profile("tiny", 4, "bm25"), threads=1)
    passages = [Passage(name, name, name, 0, 1, metadata) for name, metadata in METADATA.items()]
    vectors = [Vectors(row, NO_TERMS) for row in np.eye(3, 4, dtype=np.float32) + 0.1]
    asyncio.run(collection.replace(passages, vectors))
    return collection


def search_ids(collection: EdgeCollection, filter_json: dict[str, Any]) -> str:
    """Return the ids that match, in order."""
    condition = parse(filter_json) if filter_json else None
    hits = asyncio.run(collection.search(np.full(4, 0.5, np.float32), None, 10, condition))
    return "".join(sorted(hit.passage.id for hit in hits))


@pytest.mark.parametrize(
    ("filter_json", "expected"),
    [
        ({}, "abc"),
        ({"lang": "en"}, "ac"),
        ({"lang": {"eq": "de"}}, "b"),
        ({"lang": {"in": ["de", "fr"]}}, "b"),
        ({"year": 2005}, "b"),
        ({"year": {"gte": 1999, "lt": 2005}}, "a"),
        ({"year": {"gt": 1999}}, "bc"),
        ({"score": 0.5}, "a"),
        ({"score": {"lte": -1.5}}, "b"),
        ({"ok": True}, "a"),
        ({"ok": False}, "b"),
        ({"ok": 1}, ""),
        ({"tags": "y"}, "ab"),
        ({"by.name": "Ann"}, "a"),
        ({"dotted.key": 1}, "b"),
        ({"none": None}, "b"),
        ({"big": 2**60 + 1}, "c"),
        ({"big": 2**60}, ""),
        ({"two words": "q"}, "c"),
        ({"lang": "en", "year": 2020}, "c"),
        ({"and": [{"lang": "en"}, {"year": {"lt": 2000}}]}, "a"),
        ({"or": [{"lang": "de"}, {"year": 2020}]}, "bc"),
        ({"not": {"lang": "en"}}, "b"),
        ({"not": {"or": [{"year": 1999}, {"year": 2005}]}}, "c"),
        ({"unknown": 1}, ""),
        ({"huge": 2**64 - 1}, "c"),
        ({"huge": {"in": [2**63, 2**64 - 1]}}, "c"),
        ({"vast": 1e300}, "c"),
        ({"vast": {"gt": 1e299}}, "c"),
        ({"year": -(2**63)}, ""),
        ({"marks": {"gt": 2, "lt": 8}}, ""),
        ({"marks": {"gt": 2, "lte": 9}}, "c"),
        ({"marks": {"gt": 2, "eq": 1}}, "c"),
    ],
)
def test_a_filter_matches_what_it_describes(
    collection: EdgeCollection, filter_json: dict[str, Any], expected: str
) -> None:
    """Equality by type, ranges of one number of a list, membership, and, or, not, nested and dotted names."""
    assert search_ids(collection, filter_json) == expected


@pytest.mark.parametrize(
    ("filter_json", "path"),
    [
        ({"year": {"gte": "2000"}}, "filter.year.gte"),
        ({"year": {"like": 1}}, "filter.year.like"),
        ({"year": {}}, "filter.year"),
        ({"lang": ["en"]}, "filter.lang"),
        ({"and": {}}, "filter.and"),
        ({"or": []}, "filter.or"),
        ({"and": [{"a": 1}, 3]}, "filter.and.1"),
        ({"lang": {"in": "en"}}, "filter.lang.in"),
        ({"lang": {"in": [{}]}}, "filter.lang.in.0"),
        ({'a"b': 1}, 'filter.a"b'),
        ({"a\\b": 1}, "filter.a\\b"),
        ({"year": math.nan}, "filter.year"),
        ({"year": {"in": [1, math.inf]}}, "filter.year.in.1"),
        ({"year": {"lt": -math.inf}}, "filter.year.lt"),
    ],
)
def test_a_wrong_filter_is_refused_with_its_path(
    collection: EdgeCollection, filter_json: dict[str, Any], path: str
) -> None:
    """The `param` of the error is the path of the wrong part."""
    with pytest.raises(InvalidRequest) as refused:
        search_ids(collection, filter_json)

    assert refused.value.param == path


@pytest.mark.parametrize(
    ("filter_json", "path"),
    [
        ({"lang": {"in": ["x"] * 1_000_000}}, "filter.lang.in"),
        ({"or": [{"lang": "en"}] * 1_000_000}, "filter.or"),
        ({"and": [{}] * 1_000_000}, "filter.and"),
        ({f"field{n}": n for n in range(1_000)}, "filter"),
        ({"or": [{"lang": {"in": ["x"] * 600}}, {"not": {"lang": {"in": ["y"] * 600}}}]}, "filter.or.1.not.lang.in"),
    ],
)
def test_a_filter_over_its_limits_is_refused_before_it_is_read(filter_json: dict[str, Any], path: str) -> None:
    """A filter of megabytes takes no memory, and the message names the part, the limit and its setting."""
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge) as refused:
            parse(filter_json, Limits(200, 1_000))
        _, peak_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert peak_bytes < 500_000
    assert refused.value.param == path
    assert "MAX_FILTER_" in refused.value.message


def test_a_filter_at_its_limits_is_answered(collection: EdgeCollection) -> None:
    """As many values as the setting allows are searched for."""
    condition = parse({"lang": {"in": ["x", *(f"v{n}" for n in range(499))]}, "year": {"in": list(range(500))}})

    hits = asyncio.run(collection.search(np.full(4, 0.5, np.float32), None, 100, condition))

    assert all("x" in str(hit.passage.metadata["lang"]) for hit in hits)
