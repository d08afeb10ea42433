"""Conditions as filters of Qdrant's client, over the payload of a point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from qdrant_client import models

from gateways.core.stores import filters
from gateways.core.stores.payloads import METADATA

# A double is exact up to 53 bits, and the engine matches integers up to 63. Between them, integers are matched.
_EXACT_IN_DOUBLE, _MATCHED_INTEGERS = 2**53, 2**63


def translate(condition: filters.Condition) -> models.Filter:
    """Return the filter over `metadata`."""
    if isinstance(condition, filters.Join):
        parts: list[models.Condition] = [translate(part) for part in condition.parts]
        if condition.how == "or":
            return models.Filter(should=parts)
        return models.Filter(must_not=parts) if condition.how == "not" else models.Filter(must=parts)
    if isinstance(condition, filters.Range):
        bounds = models.Range(**condition.bounds)
        return models.Filter(
            should=[models.FieldCondition(key=path, range=bounds) for path in server_paths(condition.field)]
        )
    return models.Filter(should=list(_test_values(condition.field, filters.values_of(condition))))


def with_field(name: str) -> models.Filter:
    """Return the filter for passages that have a field, with a value that is not null or an empty list."""
    empty: list[models.Condition] = [
        models.IsEmptyCondition(is_empty=models.PayloadField(key=path)) for path in server_paths(name)
    ]
    return models.Filter(must_not=[models.Filter(must=empty)])


def server_paths(name: str) -> list[str]:
    """Return the server's paths of a filter's field."""
    return [METADATA + "".join(f'."{part}"' for part in path) for path in filters.paths(name)]


def _test_values(name: str, values: Sequence[filters.Scalar]) -> Iterator[models.Condition]:
    """Yield tests one of which holds where a value is one of these."""
    strings = [value for value in values if isinstance(value, str)]
    truths = [value for value in values if isinstance(value, bool)]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    for path in server_paths(name):
        if strings:
            yield models.FieldCondition(key=path, match=models.MatchAny(any=strings))
        if None in values:
            yield models.IsNullCondition(is_null=models.PayloadField(key=path))
        for truth in dict.fromkeys(truths):
            yield models.FieldCondition(key=path, match=models.MatchValue(value=truth))
        for number in dict.fromkeys(numbers):
            yield _test_number(path, number)


def _test_number(path: str, number: float) -> models.Condition:
    if isinstance(number, int) and _EXACT_IN_DOUBLE < abs(number) < _MATCHED_INTEGERS:
        return models.FieldCondition(key=path, match=models.MatchValue(value=number))
    return models.FieldCondition(key=path, range=models.Range(gte=float(number), lte=float(number)))
