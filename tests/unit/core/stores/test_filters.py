"""The filter language on the real engine: a filter matches exactly the passages for which it holds."""

from __future__ import annotations

import asyncio
import math
import operator
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateways.core.backend import SparseVector
from gateways.core.errors import InvalidRequest
from gateways.core.profiles import Profile
from gateways.core.stores.base import Passage, Vectors
from gateways.core.stores.edge import collection as edge_collection
from gateways.core.stores.edge.collection import EdgeCollection
from gateways.core.stores.filters import Condition, Equals, Join, parse

NO_TERMS = SparseVector(np.empty(0, np.uint32), np.empty(0, np.float32))
METADATA: dict[str, dict[str, Any]] = {
    "a": {"lang": "en", "year": 1999, "score": 0.5, "ok": True, "tags": ["x", "y"], "by": {"name": "Ann"}},
    "b": {"lang": "de", "year": 2005, "score": -1.5, "ok": False, "tags": ["y"], "dotted.key": 1, "none": None},
    "c": {"lang": "en", "year": 2020, "big": 2**60 + 1, "two words": "q", "huge": 2**64 - 1, "vast": 1e300},
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
    ],
)
def test_a_filter_matches_what_it_describes(
    collection: EdgeCollection, filter_json: dict[str, Any], expected: str
) -> None:
    """Equality by type, ranges with open and closed ends, membership, and, or, not, nested and dotted names."""
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


FIELDS = ("lang", "year", "ok", "tags")
SCALARS = st.one_of(st.sampled_from(["x", "y", ""]), st.integers(-2, 3), st.sampled_from([0.5, -1.5, 2.0]), st.none())
BOUNDS = st.dictionaries(st.sampled_from(["gt", "gte", "lt", "lte"]), st.integers(-2, 3), min_size=1, max_size=2)
LEAVES = st.one_of(
    SCALARS,
    st.booleans(),
    BOUNDS,
    st.builds(lambda values: {"in": values}, st.lists(st.one_of(SCALARS, st.booleans()), min_size=1, max_size=3)),
)
FILTERS = st.recursive(
    st.dictionaries(st.sampled_from(FIELDS), LEAVES, min_size=1, max_size=2),
    lambda parts: st.one_of(
        st.builds(lambda conditions: {"and": conditions}, st.lists(parts, min_size=1, max_size=3)),
        st.builds(lambda conditions: {"or": conditions}, st.lists(parts, min_size=1, max_size=3)),
        st.builds(lambda condition: {"not": condition}, parts),
    ),
    max_leaves=6,
)


def varied_metadata() -> list[dict[str, Any]]:
    """Return metadata of all kinds in those fields, equal in every run."""
    generator = random.Random(7)  # noqa: S311
    values: list[Any] = ["x", "y", "", -2, 0, 1, 3, 0.5, -1.5, 2.0, True, False, None, ["x", 1], [3, "y"], []]
    return [{name: generator.choice(values) for name in FIELDS if generator.random() < 0.8} for _ in range(60)]


@pytest.fixture(scope="module")
def varied(tmp_path_factory: pytest.TempPathFactory) -> EdgeCollection:
    """Return a collection with passages of all that metadata."""
    collection = edge_collection.create(
        tmp_path_factory.mktemp("store") / "books", Profile("tiny", 4, "bm25"), threads=1
    )
    passages = [Passage(str(at), str(at), "", 0, 1, metadata) for at, metadata in enumerate(varied_metadata())]
    vectors = [Vectors(np.full(4, 0.5, np.float32), NO_TERMS) for _ in passages]
    asyncio.run(collection.replace(passages, vectors))
    return collection


def holds(condition: Condition, metadata: dict[str, Any]) -> bool:
    """Return whether a condition holds, by its docstring alone."""
    if isinstance(condition, Join):
        parts = [holds(part, metadata) for part in condition.parts]
        return not any(parts) if condition.how == "not" else (any if condition.how == "or" else all)(parts)
    if condition.field not in metadata:
        return False
    field_value = metadata[condition.field]
    values = field_value if isinstance(field_value, list) else [field_value]
    if isinstance(condition, Equals):
        return any(
            value == condition.value and isinstance(value, bool) == isinstance(condition.value, bool)
            for value in values
        )
    compare = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    return any(all(compare[name](value, bound) for name, bound in condition.bounds.items()) for value in numbers)


@given(filter_json=FILTERS)
@settings(max_examples=400, deadline=None)
def test_any_filter_matches_what_it_describes(varied: EdgeCollection, filter_json: dict[str, Any]) -> None:
    """For any combination, the engine matches the passages for which the condition holds."""
    condition = parse(filter_json)

    hits = asyncio.run(varied.search(np.full(4, 0.5, np.float32), None, 100, condition))

    expected = {str(at) for at, metadata in enumerate(varied_metadata()) if holds(condition, metadata)}
    assert {hit.passage.id for hit in hits} == expected
