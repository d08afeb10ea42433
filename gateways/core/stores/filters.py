"""The filter language of `/v1/search`, parsed into a tree that each store translates."""

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
    """The field equals the value, or is a list that contains it."""

    field: str
    value: Scalar


@dataclass(frozen=True, slots=True)
class Range:
    """The field is a number within all bounds, by name: `gt`, `gte`, `lt` or `lte`."""

    field: str
    bounds: dict[str, float]


@dataclass(frozen=True, slots=True)
class Join:
    """A combination: all (`and`), any (`or`) or none (`not`) of the parts hold."""

    how: Literal["and", "or", "not"]
    parts: tuple[Condition, ...]


Condition: TypeAlias = Equals | Range | Join


def parse(value: Any, path: str = "filter", depth: int = 0) -> Condition:
    """
    Return a filter, the value of a JSON field, as a tree.

    `{"lang": "en"}` is equality, `{"year": {"gte": 2000, "lt": 2010}}` a range, `{"lang": {"in": ["en", "de"]}}`
    membership; `{"and": [...]}`, `{"or": [...]}` and `{"not": {...}}` combine. All fields of one object must hold.
    Raises InvalidRequest, whose `param` is the path of the wrong part.
    """
    if not isinstance(value, dict):
        raise _filter_error(path, f"must be an object such as {{'lang': 'en'}}, not {_type_name(value)}")
    if depth > MAX_DEPTH:
        raise _filter_error(path, f"is nested more than {MAX_DEPTH} deep")
    parts = tuple(_parse_entry(key, item, f"{path}.{key}", depth) for key, item in value.items())
    return parts[0] if len(parts) == 1 else Join("and", parts)


def _parse_entry(key: str, value: Any, path: str, depth: int) -> Condition:
    if key in _JOINS:
        if not isinstance(value, list) or not value:
            raise _filter_error(path, f"must be a list of filters with at least one in it, not {_type_name(value)}")
        return Join(_JOINS[key], tuple(parse(part, f"{path}.{i}", depth + 1) for i, part in enumerate(value)))
    if key == "not":
        return Join("not", (parse(value, path, depth + 1),))
    return _parse_field(key, value, path)


def _parse_field(name: str, value: Any, path: str) -> Condition:
    if not name or '"' in name or "\\" in name:
        raise _filter_error(path, "a field name is not empty and has no double quote and no backslash in it")
    if isinstance(value, list):
        raise _filter_error(path, f"is a list; to match any of several values write {{'{name}': {{'in': [...]}}}}")
    if not isinstance(value, dict):
        return Equals(name, _check_scalar(value, path))
    if not value:
        raise _filter_error(path, "is empty; write a value, or an operator: eq, in, gt, gte, lt, lte")
    tests = [_parse_operator(name, operator, operand, f"{path}.{operator}") for operator, operand in value.items()]
    return tests[0] if len(tests) == 1 else Join("and", tuple(tests))


def _parse_operator(name: str, operator: str, operand: Any, path: str) -> Condition:
    if operator == "eq":
        return Equals(name, _check_scalar(operand, path))
    if operator == "in":
        if not isinstance(operand, list) or not operand:
            raise _filter_error(path, f"must be a list of values with at least one in it, not {_type_name(operand)}")
        return Join("or", tuple(Equals(name, _check_scalar(item, f"{path}.{i}")) for i, item in enumerate(operand)))
    if operator in _BOUNDS:
        if isinstance(operand, bool) or not isinstance(operand, int | float):
            raise _filter_error(path, f"must be a number, not {_type_name(operand)}")
        return Range(name, {operator: float(_check_finite(operand, path))})
    raise _filter_error(path, f"{operator!r} is not an operator; there are eq, in, gt, gte, lt, lte")


def _check_scalar(value: Any, path: str) -> Scalar:
    if value is not None and not isinstance(value, str | int | float | bool):
        raise _filter_error(path, f"must be a string, a number, true, false or null, not {_type_name(value)}")
    return _check_finite(value, path)


def _check_finite(value: T, path: str) -> T:
    """Return the value. A comparison with NaN or infinity has no meaning, and raises InvalidRequest."""
    if isinstance(value, float) and not math.isfinite(value):
        raise _filter_error(path, "must be a finite number")
    return value


def _type_name(value: Any) -> str:
    names: dict[type, str] = {dict: "an object", list: "a list", str: "a string", bool: "a boolean"}
    if value is None:
        return "null"
    if value == [] or value == {}:
        return "an empty one"
    return names.get(type(value), "a number")


def _filter_error(path: str, reason: str) -> InvalidRequest:
    return InvalidRequest(f"{path} {reason}.", param=path, code="invalid_filter")
