"""Every store agrees with the filter language in plain Python, over metadata of every kind."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateways.core.backend import SparseVector
from gateways.core.stores.base import Passage, Vectors
from gateways.core.stores.filters import parse
from tests.support.filter_reference import holds
from tests.system.stores.conftest import DEFAULT, Opened

TERMS = SparseVector(np.array([7], np.uint32), np.array([1.0], np.float32))
DENSE = np.full(4, 0.5, np.float32)
SCALARS: list[Any] = ["x", "y", "", "é\0", -2, 0, 1, 3, 0.5, -1.5, 2.0, 2**53 + 1, 2**60, 1e300, True, False, None]
NAMES = ("lang", "ok", "at.place", "0", "two words")
FIELDS = (*NAMES, "at", "at.ok", "deep.er.ok", "lang.0", "absent", "absent.too")


def make_metadata() -> list[dict[str, Any]]:
    """Return metadata of every kind: scalars, lists and objects, in objects and in lists. Equal in every run."""
    chance = random.Random(7)  # noqa: S311 the same in every run

    def value(depth: int) -> Any:
        kind = chance.random()
        if kind < 0.7 or depth == 0:
            return chance.choice(SCALARS)
        if kind < 0.85:
            return [chance.choice(SCALARS) for _ in range(chance.randint(0, 3))]
        return {name: value(depth - 1) for name in ("place", "ok", "er", "0") if chance.random() < 0.6}

    rows = [{name: value(1) for name in NAMES if chance.random() < 0.7} for _ in range(70)]
    for row in rows:
        if chance.random() < 0.6:
            row["at"] = value(2)
        if chance.random() < 0.6:
            row["deep"] = {"er": {"ok": chance.choice([True, False, [True, "x"], [False, None], 1])}}
    return [*rows, {"lang": [{"ok": True}, ["x"]]}, {}]


METADATA = make_metadata()
BOUNDS = st.dictionaries(
    st.sampled_from(["gt", "gte", "lt", "lte"]), st.sampled_from([-2, 0, 1, 2.5, 1e20]), min_size=1, max_size=2
)
MEMBERS = st.one_of(
    st.lists(st.sampled_from(SCALARS), min_size=1, max_size=4),
    st.lists(st.sampled_from([*SCALARS, *range(50, 70)]), min_size=20, max_size=30),
)
LEAVES = st.one_of(st.sampled_from(SCALARS), BOUNDS, st.builds(lambda values: {"in": values}, MEMBERS))
FILTERS = st.recursive(
    st.dictionaries(st.sampled_from(FIELDS), LEAVES, min_size=1, max_size=2),
    lambda parts: st.one_of(
        st.builds(lambda conditions: {"and": conditions}, st.lists(parts, min_size=1, max_size=3)),
        st.builds(lambda conditions: {"or": conditions}, st.lists(parts, min_size=1, max_size=3)),
        st.builds(lambda condition: {"not": condition}, parts),
    ),
    max_leaves=6,
)


def write(opened: Opened) -> None:
    """Write a document for each of METADATA."""

    async def scenario() -> None:
        collection = await opened.store.ensure("books", DEFAULT)
        passages = [Passage(str(at), str(at), "x", 0, 1, metadata) for at, metadata in enumerate(METADATA)]
        await collection.replace(passages, [Vectors(DENSE, TERMS)] * len(passages))
        await collection.flush()
        await opened.store.refresh()

    opened.runner.run(scenario())


@pytest.mark.parametrize("mode", ["dense", "sparse"])
def test_every_store_agrees_with_plain_python(opened: Opened, mode: str) -> None:
    """For any combination of conditions a search finds exactly the documents for which it holds."""
    write(opened)
    dense, sparse = (DENSE, None) if mode == "dense" else (None, TERMS)

    @given(filter_json=FILTERS)
    @settings(max_examples=300, deadline=None, derandomize=True)
    def check(filter_json: dict[str, Any]) -> None:
        condition = parse(filter_json)
        search = opened.store.collection("books").search(dense, sparse, len(METADATA), condition)
        expected = {str(at) for at, metadata in enumerate(METADATA) if holds(condition, metadata)}
        assert {hit.passage.id for hit in opened.runner.run(search)} == expected

    check()


def test_every_store_knows_which_fields_there_are(opened: Opened) -> None:
    """A field is there if any document has a value of it, nested or not."""
    write(opened)
    collection = opened.store.collection("books")

    present = [name for name in FIELDS if opened.runner.run(collection.has_field(name))]

    assert present == [name for name in FIELDS if not name.startswith("absent")]
