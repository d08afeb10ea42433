"""Conditions in Qdrant's words."""

from __future__ import annotations

from typing import Any

import qdrant_edge as qdrant

from gateways.core.stores import filters

# Integers between these bounds are exact as integers only: a double has 53 bits, the engine matches up to 63.
_EXACT_IN_DOUBLE, _MATCHED = 2**53, 2**63


def translate(condition: filters.Condition) -> qdrant.Filter:
    """Return the filter over the payload of a point: `metadata`, and `bools` for boolean values."""
    if isinstance(condition, filters.Join):
        parts: list[Any] = [translate(part) for part in condition.parts]
        if condition.how == "or":
            return qdrant.Filter(should=parts)
        return qdrant.Filter(must_not=parts) if condition.how == "not" else qdrant.Filter(must=parts)
    if isinstance(condition, filters.Range):
        return _over_paths(condition.field, lambda path: _within(path, **condition.bounds))
    return _over_paths(condition.field, lambda path: _equals(path, condition.value), condition.value)


def _over_paths(name: str, test: Any, value: object = None) -> qdrant.Filter:
    """Test the field of this name, and where the name has dots, the nested field that they spell, too."""
    root = "bools" if isinstance(value, bool) else "metadata"
    paths = [f'{root}."{name}"']
    if "." in name and all(name.split(".")):
        paths.append(root + "".join(f'."{part}"' for part in name.split(".")))
    return qdrant.Filter(should=[test(path) for path in paths])


def _equals(path: str, value: filters.Scalar) -> Any:
    if value is None:
        return qdrant.IsNullCondition(path)
    if isinstance(value, str):
        return qdrant.FieldCondition(path, match=qdrant.MatchValue(value))
    if isinstance(value, bool) or (isinstance(value, int) and _EXACT_IN_DOUBLE < abs(value) < _MATCHED):
        return qdrant.FieldCondition(path, match=qdrant.MatchValue(int(value)))
    return _within(path, gte=float(value), lte=float(value))


def _within(path: str, **bounds: float) -> qdrant.FieldCondition:
    return qdrant.FieldCondition(path, range=qdrant.RangeFloat(**bounds))
