"""The filter language of `/v1/search`, checked into a small tree that each store translates."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias, TypeVar

from gateways.core.errors import InvalidRequest

T = TypeVar("T")
Scalar: TypeAlias = str | int | float | bool | None
MAX_DEPTH = 16
_BOUNDS = ("gt", "gte", "lt", "lte")
_JOINS: dict[str, Literal["and", "or"]] = {"and": "and", "or": "or"}


@dataclass(frozen=True, slots=True)
class Equals:
    """The field holds this value, or a list with this value in it."""

    field: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class Range:
    """The field is a number within the bounds, each `gt`, `gte`, `lt` or `lte`."""

    field: str
    bounds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Join:
    """All (`and`), any (`or`) or none (`not`) of the parts hold."""

    how: Literal["and", "or", "not"]
    parts: tuple[Condition, ...]


Condition: TypeAlias = Equals | Range | Join


def parse(where: Any, at: str = "filter", depth: int = 0) -> Condition:
    """
    Check a filter and return it as a tree.

    `{"lang": "en"}` is equality, `{"year": {"gte": 2000, "lt": 2010}}` a range, `{"lang": {"in": ["en", "de"]}}`
    membership; `{"and": [...]}`, `{"or": [...]}` and `{"not": {...}}` combine. Fields side by side must all hold.
    Raises InvalidRequest that names the place.
    """
    if not isinstance(where, dict):
        raise _wrong(at, f"must be an object such as {{'lang': 'en'}}, not {_kind(where)}")
    if depth > MAX_DEPTH:
        raise _wrong(at, f"is nested more than {MAX_DEPTH} deep")
    parts = tuple(_entry(key, value, f"{at}.{key}", depth) for key, value in where.items())
    return parts[0] if len(parts) == 1 else Join("and", parts)


def _entry(key: str, value: Any, at: str, depth: int) -> Condition:
    if key in _JOINS:
        if not isinstance(value, list) or not value:
            raise _wrong(at, f"must be a list of filters with at least one in it, not {_kind(value)}")
        return Join(_JOINS[key], tuple(parse(part, f"{at}.{i}", depth + 1) for i, part in enumerate(value)))
    if key == "not":
        return Join("not", (parse(value, at, depth + 1),))
    return _field(key, value, at)


def _field(name: str, value: Any, at: str) -> Condition:
    if not name or '"' in name or "\\" in name:
        raise _wrong(at, "a field name is not empty and has no double quote and no backslash in it")
    if isinstance(value, list):
        raise _wrong(at, f"is a list; to match any of several values write {{'{name}': {{'in': [...]}}}}")
    if not isinstance(value, dict):
        return Equals(name, _scalar(value, at))
    if not value:
        raise _wrong(at, "is empty; write a value, or an operator: eq, in, gt, gte, lt, lte")
    tests = [_operator(name, operator, operand, f"{at}.{operator}") for operator, operand in value.items()]
    return tests[0] if len(tests) == 1 else Join("and", tuple(tests))


def _operator(name: str, operator: str, operand: Any, at: str) -> Condition:
    if operator == "eq":
        return Equals(name, _scalar(operand, at))
    if operator == "in":
        if not isinstance(operand, list) or not operand:
            raise _wrong(at, f"must be a list of values with at least one in it, not {_kind(operand)}")
        return Join("or", tuple(Equals(name, _scalar(item, f"{at}.{i}")) for i, item in enumerate(operand)))
    if operator in _BOUNDS:
        if isinstance(operand, bool) or not isinstance(operand, int | float):
            raise _wrong(at, f"must be a number, not {_kind(operand)}")
        return Range(name, {operator: float(_finite(operand, at))})
    raise _wrong(at, f"{operator!r} is not an operator; there are eq, in, gt, gte, lt, lte")


def _scalar(value: Any, at: str) -> Scalar:
    if value is not None and not isinstance(value, str | int | float | bool):
        raise _wrong(at, f"must be a string, a number, true, false or null, not {_kind(value)}")
    return _finite(value, at)


def _finite(value: T, at: str) -> T:
    """Return the value; no comparison with NaN or an infinity means anything."""
    if isinstance(value, float) and not math.isfinite(value):
        raise _wrong(at, "must be a finite number")
    return value


def _kind(value: Any) -> str:
    names: dict[type, str] = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    if value is None:
        return "null"
    if value == [] or value == {}:
        return "an empty one"
    return names.get(type(value), "a number")


def _wrong(at: str, what: str) -> InvalidRequest:
    return InvalidRequest(f"{at} {what}.", param=at, code="invalid_filter")
