"""The filter language in plain Python, by the docstrings of its conditions alone."""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

from gateways.core.stores.filters import Condition, Join, Range, paths, values_of

_COMPARE = {"gt": operator.gt, "gte": operator.ge, "lt": operator.lt, "lte": operator.le}


def holds(condition: Condition, metadata: dict[str, Any]) -> bool:
    """Return whether a condition holds."""
    if isinstance(condition, Join):
        parts = [holds(part, metadata) for part in condition.parts]
        return not any(parts) if condition.how == "not" else (any if condition.how == "or" else all)(parts)
    values = list(_find_values(condition.field, metadata))
    if isinstance(condition, Range):
        numbers = [value for value in values if isinstance(value, int | float) and not isinstance(value, bool)]
        bounds = condition.bounds.items()
        return any(all(_COMPARE[name](number, bound) for name, bound in bounds) for number in numbers)
    return any(_equal(value, wanted) for value in values for wanted in values_of(condition))


def _equal(value: Any, wanted: Any) -> bool:
    return value == wanted and isinstance(value, bool) == isinstance(wanted, bool)


def _find_values(field: str, metadata: dict[str, Any]) -> Iterator[Any]:
    for path in paths(field):
        place: Any = metadata
        for name in path:
            place = place.get(name, _ABSENT) if isinstance(place, dict) else _ABSENT
        if place is not _ABSENT:
            yield from place if isinstance(place, list) else [place]


_ABSENT = object()
