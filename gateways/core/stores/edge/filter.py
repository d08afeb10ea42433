"""Conditions as filters of the engine, over the payload of a point."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import qdrant_edge as qdrant

from gateways.core.stores import filters
from gateways.core.stores.payloads import BOOLEANS, METADATA

# A double is exact up to 53 bits, and the engine matches integers up to 63. Between them, integers are matched.
_EXACT_IN_DOUBLE, _MATCHED_INTEGERS = 2**53, 2**63


def translate(condition: filters.Condition) -> qdrant.Filter:
    """Return the filter over `metadata`, or over `bools` for boolean values."""
    converted = _convert(condition)
    return converted if isinstance(converted, qdrant.Filter) else qdrant.Filter(must=[converted])


def _convert(condition: filters.Condition) -> Any:
    """Return a filter or, for one test, the test. The engine takes three times as long for a filter of one test."""
    if isinstance(condition, filters.Join):
        parts = [_convert(part) for part in condition.parts]
        if condition.how == "or":
            return qdrant.Filter(should=parts)
        return qdrant.Filter(must_not=parts) if condition.how == "not" else qdrant.Filter(must=parts)
    if isinstance(condition, filters.Range):
        tests: list[Any] = [_test_range(path, **condition.bounds) for path in engine_paths(condition.field, METADATA)]
    else:
        tests = list(_test_values(condition.field, filters.values_of(condition)))
    return tests[0] if len(tests) == 1 else qdrant.Filter(should=tests)


def engine_paths(name: str, *roots: str) -> list[str]:
    """Return the engine's paths of a filter's field, below each of the payload's fields `roots`."""
    return [root + "".join(f'."{part}"' for part in path) for root in roots for path in filters.paths(name)]


def _test_values(name: str, values: Sequence[filters.Scalar]) -> Iterator[Any]:
    """Yield tests one of which holds where a value is one of these."""
    strings = [value for value in values if isinstance(value, str)]
    truths = [int(value) for value in values if isinstance(value, bool)]
    numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
    for path in engine_paths(name, METADATA):
        if strings:
            yield qdrant.FieldCondition(path, match=_match(strings))
        if None in values:
            yield qdrant.IsNullCondition(path)
        for number in dict.fromkeys(numbers):
            yield _test_number(path, number)
    for path in engine_paths(name, BOOLEANS) if truths else ():
        yield qdrant.FieldCondition(path, match=_match(truths))


def _match(values: Sequence[Any]) -> Any:
    # The engine tests a list of one value half as fast as the value.
    return qdrant.MatchValue(values[0]) if len(values) == 1 else qdrant.MatchAny(list(values))


def _test_number(path: str, number: float) -> qdrant.FieldCondition:
    if isinstance(number, int) and _EXACT_IN_DOUBLE < abs(number) < _MATCHED_INTEGERS:
        return qdrant.FieldCondition(path, match=qdrant.MatchValue(number))
    return _test_range(path, gte=float(number), lte=float(number))


def _test_range(path: str, **bounds: float) -> qdrant.FieldCondition:
    return qdrant.FieldCondition(path, range=qdrant.RangeFloat(**bounds))
