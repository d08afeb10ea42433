"""Conditions in the words of Qdrant's client, over the payload of a point."""

from __future__ import annotations

from collections.abc import Callable

from qdrant_client import models

from gateways.core.stores import filters

# Integers between these bounds are exact as integers only: a double has 53 bits, the engine matches up to 63.
_EXACT_IN_DOUBLE, _MATCHED = 2**53, 2**63


def translate(condition: filters.Condition) -> models.Filter:
    """Return the filter over `metadata`."""
    if isinstance(condition, filters.Join):
        parts: list[models.Condition] = [translate(part) for part in condition.parts]
        if condition.how == "or":
            return models.Filter(should=parts)
        return models.Filter(must_not=parts) if condition.how == "not" else models.Filter(must=parts)
    if isinstance(condition, filters.Range):
        return _over_paths(condition.field, lambda path: _within(path, **condition.bounds))
    return _over_paths(condition.field, lambda path: _equals(path, condition.value))


def _over_paths(name: str, test: Callable[[str], models.Condition]) -> models.Filter:
    """Test the field of this name, and where the name has dots, the nested field that they spell, too."""
    paths = [f'metadata."{name}"']
    if "." in name and all(name.split(".")):
        paths.append("metadata" + "".join(f'."{part}"' for part in name.split(".")))
    return models.Filter(should=[test(path) for path in paths])


def _equals(path: str, value: filters.Scalar) -> models.Condition:
    if value is None:
        return models.IsNullCondition(is_null=models.PayloadField(key=path))
    if isinstance(value, str | bool) or (isinstance(value, int) and _EXACT_IN_DOUBLE < abs(value) < _MATCHED):
        return models.FieldCondition(key=path, match=models.MatchValue(value=value))
    return _within(path, gte=float(value), lte=float(value))


def _within(path: str, **bounds: float) -> models.Condition:
    return models.FieldCondition(key=path, range=models.Range(**bounds))
