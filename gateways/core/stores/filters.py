"""The filter language of `/v1/search`, parsed into a tree that each store translates."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any, Literal, TypeAlias, TypeVar

from gateways.core.errors import InvalidRequest, TooLarge

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
class In:
    """The field equals one of the values, or is a list that contains one."""

    field: str
    values: tuple[Scalar, ...]


@dataclass(frozen=True, slots=True)
class Range:
    """
    The field is a number within all bounds, by name: `gt`, `gte`, `lt` or `lte`.

    Of a list, one number is within all of them.
    """

    field: str
    bounds: Mapping[str, float] = dataclass_field(hash=False)


@dataclass(frozen=True, slots=True)
class Join:
    """A combination: all (`and`), any (`or`) or none (`not`) of the parts hold."""

    how: Literal["and", "or", "not"]
    parts: tuple[Condition, ...]


Test: TypeAlias = Equals | In | Range
Condition: TypeAlias = Test | Join


@dataclass(frozen=True, slots=True)
class Limits:
    """The maximum of conditions in a filter, and of values in all its lists of `in`."""

    conditions: int = 200
    values: int = 1_000


def list_tests(condition: Condition | None) -> Iterator[Test]:
    """Yield the tests of fields in a condition."""
    if isinstance(condition, Join):
        for part in condition.parts:
            yield from list_tests(part)
    elif condition is not None:
        yield condition


def values_of(test: Test) -> tuple[Scalar, ...]:
    """Return the values one of which the field equals; none for a range."""
    if isinstance(test, In):
        return test.values
    return (test.value,) if isinstance(test, Equals) else ()


def paths(name: str) -> list[tuple[str, ...]]:
    """Return the paths that a filter's field means: the name itself and, if it has dots, the nested field."""
    parts = tuple(name.split("."))
    return [(name,), parts] if len(parts) > 1 and all(parts) else [(name,)]


def parse(value: Any, limits: Limits | None = None) -> Condition:
    """
    Return a filter, the value of a JSON field, as a tree.

    `{"lang": "en"}` is equality, `{"year": {"gte": 2000, "lt": 2010}}` a range, `{"lang": {"in": ["en", "de"]}}`
    membership; `{"and": [...]}`, `{"or": [...]}` and `{"not": {...}}` combine. All fields of one object must hold.
    Raises InvalidRequest, whose `param` is the path of the wrong part, and TooLarge before more is read
    than `limits` allow.
    """
    return _Parser(limits or Limits()).parse(value, "filter", 0)


class _Parser:
    """Reads one filter, and counts its parts."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._conditions = self._values = 0

    def parse(self, value: Any, path: str, depth: int) -> Condition:
        if not isinstance(value, dict):
            raise _filter_error(path, f"must be an object such as {{'lang': 'en'}}, not {_type_name(value)}")
        if depth > MAX_DEPTH:
            raise _filter_error(path, f"is nested more than {MAX_DEPTH} deep")
        self._count_conditions(path, len(value))
        parts = tuple(self._parse_entry(key, item, f"{path}.{key}", depth) for key, item in value.items())
        return parts[0] if len(parts) == 1 else Join("and", parts)

    def _parse_entry(self, key: str, value: Any, path: str, depth: int) -> Condition:
        if key in _JOINS:
            if not isinstance(value, list) or not value:
                raise _filter_error(
                    path, f"must be a list of filters with at least one in it, not {_type_name(value)}"
                )
            self._count_conditions(path, len(value))
            parts = (self.parse(part, f"{path}.{i}", depth + 1) for i, part in enumerate(value))
            return Join(_JOINS[key], tuple(parts))
        if key == "not":
            return Join("not", (self.parse(value, path, depth + 1),))
        return self._parse_field(key, value, path)

    def _parse_field(self, name: str, value: Any, path: str) -> Condition:
        if not name or '"' in name or "\\" in name:
            raise _filter_error(path, "a field name is not empty and has no double quote and no backslash in it")
        if isinstance(value, list):
            raise _filter_error(
                path, f"is a list; to match any of several values write {{'{name}': {{'in': [...]}}}}"
            )
        if not isinstance(value, dict):
            return Equals(name, _check_scalar(value, path))
        if not value:
            raise _filter_error(path, "is empty; write a value, or an operator: eq, in, gt, gte, lt, lte")
        bounds = {
            operator: _check_bound(operand, f"{path}.{operator}")
            for operator, operand in value.items()
            if operator in _BOUNDS
        }
        parts: list[Condition] = [Range(name, bounds)] if bounds else []
        parts += [
            self._parse_operator(name, *item, f"{path}.{item[0]}") for item in value.items() if item[0] not in bounds
        ]
        return parts[0] if len(parts) == 1 else Join("and", tuple(parts))

    def _parse_operator(self, name: str, operator: str, operand: Any, path: str) -> Condition:
        if operator == "eq":
            return Equals(name, _check_scalar(operand, path))
        if operator == "in":
            if not isinstance(operand, list) or not operand:
                raise _filter_error(
                    path, f"must be a list of values with at least one in it, not {_type_name(operand)}"
                )
            self._count_values(path, len(operand))
            return In(name, tuple(_check_scalar(item, f"{path}.{i}") for i, item in enumerate(operand)))
        raise _filter_error(path, f"{operator!r} is not an operator; there are eq, in, gt, gte, lt, lte")

    def _count_conditions(self, path: str, number: int) -> None:
        self._conditions += number
        if self._conditions > self._limits.conditions:
            advice = f"{self._limits.conditions} (MAX_FILTER_CONDITIONS); write several values of a field as `in`"
            raise _size_error(path, f"the filter has {self._conditions} conditions or more and may have {advice}")

    def _count_values(self, path: str, number: int) -> None:
        self._values += number
        if self._values > self._limits.values:
            advice = f"{self._limits.values} (MAX_FILTER_VALUES); give documents a field that groups them"
            raise _size_error(path, f"the filter has {self._values} values of `in` and may have {advice}")


def _check_scalar(value: Any, path: str) -> Scalar:
    if value is not None and not isinstance(value, str | int | float | bool):
        raise _filter_error(path, f"must be a string, a number, true, false or null, not {_type_name(value)}")
    return _check_finite(value, path)


def _check_bound(value: Any, path: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise _filter_error(path, f"must be a number, not {_type_name(value)}")
    return float(_check_finite(value, path))


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


def _size_error(path: str, reason: str) -> TooLarge:
    return TooLarge(f"{path}: {reason}.", param=path, code="filter_too_large")
