"""Conditions as filters of Qdrant's client, over the payload of a point."""

from __future__ import annotations

from collections.abc import Callable

from qdrant_client import models

from gateways.core.stores import filters

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
        return _test_paths(condition.field, lambda path: _test_range(path, **condition.bounds))
    return _test_paths(condition.field, lambda path: _test_equality(path, condition.value))


def _test_paths(name: str, test: Callable[[str], models.Condition]) -> models.Filter:
    """Return a test of the field `name` or, if the name has dots, of the nested field of that path."""
    paths = [f'metadata."{name}"']
    if "." in name and all(name.split(".")):
        paths.append("metadata" + "".join(f'."{part}"' for part in name.split(".")))
    return models.Filter(should=[test(path) for path in paths])


def _test_equality(path: str, value: filters.Scalar) -> models.Condition:
    if value is None:
        return models.IsNullCondition(is_null=models.PayloadField(key=path))
    if isinstance(value, str | bool) or (
        isinstance(value, int) and _EXACT_IN_DOUBLE < abs(value) < _MATCHED_INTEGERS
    ):
        return models.FieldCondition(key=path, match=models.MatchValue(value=value))
    return _test_range(path, gte=float(value), lte=float(value))


def _test_range(path: str, **bounds: float) -> models.Condition:
    return models.FieldCondition(key=path, range=models.Range(**bounds))
