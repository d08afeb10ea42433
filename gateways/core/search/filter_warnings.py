"""Warnings about filters that find nothing."""

from __future__ import annotations

from gateways.core.stores.base import Collection
from gateways.core.stores.filters import Condition, list_tests

_MAX_FIELDS = 5


async def list_unknown_fields(collection: Collection, condition: Condition) -> list[str]:
    """Return a sentence for each of the first fields of a filter that no document of the collection has."""
    if not collection.documents:
        return []
    names = list(dict.fromkeys(test.field for test in list_tests(condition)))[:_MAX_FIELDS]
    return [
        f"filter: no document of collection {collection.name!r} has the field {name!r}."
        for name in names
        if not await collection.has_field(name)
    ]
