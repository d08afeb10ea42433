"""Conditions as filters of the engine, over the payload of a point."""

from __future__ import annotations

from typing import Any

import qdrant_edge as qdrant

from gateways.core.stores import filters

# A double is exact up to 53 bits, and the engine matches integers up to 63. Between them, integers are matched.
_EXACT_IN_DOUBLE, _MATCHED_INTEGERS = 2**53, 2**63


def translate(condition: filters.Condition) -> qdrant.Filter:
    """Return the filter over `metadata`, or over `bools` for boolean values."""
    if isinstance(condition, filters.Join):
        parts: list[Any] = [translate(part) for part in condition.parts]
        if condition.how == "or":
            return qdrant.Filter(should=parts)
        return qdrant.Filter(must_not=parts) if condition.how == "not" else qdrant.Filter(must=parts)
    if isinstance(condition, filters.Range):
        return _test_paths(condition.field, lambda path: _test_range(path, **condition.bounds))
    return _test_paths(condition.field, lambda path: _test_equality(path, condition.value), condition.value)


def _test_paths(name: str, test: Any, value: object = None) -> qdrant.Filter:
    """Return a test of the field `name` or, if the name has dots, of the nested field of that path."""
    root = "bools" if isinstance(value, bool) else "metadata"
    paths = [f'{root}."{name}"']
    if "." in name and all(name.split(".")):
        paths.append(root + "".join(f'."{part}"' for part in name.split(".")))
    return qdrant.Filter(should=[test(path) for path in paths])


def _test_equality(path: str, value: filters.Scalar) -> Any:
    if value is None:
        return qdrant.IsNullCondition(path)
    if isinstance(value, str):
        return qdrant.FieldCondition(path, match=qdrant.MatchValue(value))
    if isinstance(value, bool) or (isinstance(value, int) and _EXACT_IN_DOUBLE < abs(value) < _MATCHED_INTEGERS):
        return qdrant.FieldCondition(path, match=qdrant.MatchValue(int(value)))
    return _test_range(path, gte=float(value), lte=float(value))


def _test_range(path: str, **bounds: float) -> qdrant.FieldCondition:
    return qdrant.FieldCondition(path, range=qdrant.RangeFloat(**bounds))
