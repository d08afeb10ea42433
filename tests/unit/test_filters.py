"""The filter language against the real engine: each operator finds what it says and nothing else."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from gateways.core.backend import ModelInfo
from gateways.core.errors import InvalidRequest
from gateways.core.stores.base import Passage
from gateways.core.stores.edge import EdgeStore, StoreMismatch
from gateways.core.stores.filters import parse

MODEL = ModelInfo("tiny", "dense", dimensions=4, max_input_tokens=8)
METADATA: dict[str, dict[str, Any]] = {
    "a": {"lang": "en", "year": 1999, "score": 0.5, "ok": True, "tags": ["x", "y"], "by": {"name": "Ann"}},
    "b": {"lang": "de", "year": 2005, "score": -1.5, "ok": False, "tags": ["y"], "dotted.key": 1, "none": None},
    "c": {"lang": "en", "year": 2020, "big": 2**60 + 1, "two words": "q"},
}


@pytest.fixture
def store(tmp_path: Path) -> EdgeStore:
    """Return a store with three passages of known metadata."""
    store = EdgeStore(tmp_path, MODEL, threads=1)
    passages = [Passage(name, name, name, 0, 1, metadata) for name, metadata in METADATA.items()]
    asyncio.run(store.upsert("default", passages, np.eye(3, 4, dtype=np.float32) + 0.1))
    return store


def found(store: EdgeStore, where: dict[str, Any]) -> str:
    """Return the ids that match, in order."""
    hits = asyncio.run(
        store.search("default", np.full(4, 0.5, np.float32), 10, parse(where) if where else None, None)
    )
    return "".join(sorted(hit.passage.id for hit in hits))


@pytest.mark.parametrize(
    ("where", "expected"),
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
    ],
)
def test_a_filter_finds_what_it_says(store: EdgeStore, where: dict[str, Any], expected: str) -> None:
    """Equality by type, ranges with open and closed ends, membership, and, or, not, nested and dotted names."""
    assert found(store, where) == expected


@pytest.mark.parametrize(
    ("where", "at"),
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
    ],
)
def test_a_wrong_filter_is_refused_with_its_place(store: EdgeStore, where: dict[str, Any], at: str) -> None:
    """The error's param says where."""
    with pytest.raises(InvalidRequest) as refused:
        found(store, where)

    assert refused.value.param == at


def test_vectors_of_another_model_are_never_mixed_in(store: EdgeStore, tmp_path: Path) -> None:
    """A folder made with one model does not open for another."""
    store.close()

    with pytest.raises(StoreMismatch, match="tiny"):
        EdgeStore(tmp_path, ModelInfo("other", "dense", dimensions=8, max_input_tokens=8), threads=1)
