"""Conditions as SQL over the `metadata` of a passage. Values are parameters, never text of a statement."""

from __future__ import annotations

from typing import Any

import orjson
from psycopg import sql

from gateways.core.stores import filters

# Tests that the index answers one by one.
_MAX_CONTAINMENTS = 16
# The operator `->` with text takes a field of an object, never an item of a list.
_STEP = " -> %s::text"
_MEMBERS = """
EXISTS (
    SELECT FROM (SELECT {} AS held) field, jsonb_array_elements(
        CASE jsonb_typeof(held) WHEN 'array' THEN held ELSE jsonb_build_array(held) END
    ) AS item WHERE held IS NOT NULL AND item = ANY(%s::jsonb[])
)
"""
_OPERATORS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def translate(condition: filters.Condition | None) -> tuple[sql.Composable, list[Any]]:
    """Return an expression that is true or false, never null, and its parameters in order."""
    if condition is None:
        return sql.SQL("true"), []
    if isinstance(condition, filters.Join):
        translated = [translate(part) for part in condition.parts]
        values = [value for _, parameters in translated for value in parameters]
        joined = sql.SQL(" OR " if condition.how == "or" else " AND ").join(
            sql.SQL("({})").format(part) for part, _ in translated
        )
        if condition.how == "not":
            joined = sql.SQL("NOT ({})").format(joined)
        return (joined if translated else sql.SQL("true")), values
    if isinstance(condition, filters.Range):
        return _test_range(condition)
    values = [replace_nul(value) for value in filters.values_of(condition)]
    if len(values) > _MAX_CONTAINMENTS:
        return _test_members(condition.field, values)
    # `@>` uses the index. A value in a list is contained in the object only if it is in a list there too.
    contained = [
        _nest(path, part) for path in _paths(condition.field) for value in values for part in (value, [value])
    ]
    tests = sql.SQL(" OR ").join([sql.SQL("metadata @> %s::jsonb")] * len(contained))
    return sql.SQL("({})").format(tests), [orjson.dumps(part).decode() for part in contained]


def with_field(name: str) -> tuple[sql.Composable, list[Any]]:
    """Return a test whether a passage has a field with a value that is not null or [], and its parameters."""
    return _test_paths(name, "coalesce({} <> ALL(%s::jsonb[]), false)", ["null", "[]"])


def _test_range(condition: filters.Range) -> tuple[sql.Composable, list[Any]]:
    tests = " && ".join(f"@ {_OPERATORS[name]} ${name}" for name in condition.bounds)
    bounds = orjson.dumps(condition.bounds).decode()
    # The path visits every number of a list. Other types match no range.
    test = f"coalesce(jsonb_path_exists({{}}, '$[*] ? ({tests})', %s::jsonb), false)"
    return _test_paths(condition.field, test, bounds)


def _test_members(name: str, values: list[Any]) -> tuple[sql.Composable, list[Any]]:
    """Return a test whose time does not depend on the number of values, because `= ANY` makes a hash table."""
    return _test_paths(name, _MEMBERS, [orjson.dumps(value).decode() for value in values])


def _test_paths(name: str, test: str, value: Any) -> tuple[sql.Composable, list[Any]]:
    """Return a test of the field `name` or, if the name has dots, of the nested field of that path."""
    paths = _paths(name)
    tests = sql.SQL(" OR ").join(sql.SQL(test).format(_field(path)) for path in paths)
    return sql.SQL("({})").format(tests), [part for path in paths for part in (*path, value)]


def _field(path: tuple[str, ...]) -> sql.Composable:
    """Return the value at a path, null if there is none. `#>` would take a number for a place in a list."""
    return sql.SQL("(metadata{})").format(sql.SQL("").join([sql.SQL(_STEP)] * len(path)))


def _paths(name: str) -> list[tuple[str, ...]]:
    return [tuple(replace_nul(list(path))) for path in filters.paths(name)]


def _nest(path: tuple[str, ...], value: Any) -> Any:
    """Return the object with a value at a path."""
    for name in reversed(path):
        value = {name: value}
    return value


def replace_nul(value: Any) -> Any:
    """Return a JSON value with U+FFFD for U+0000, which PostgreSQL cannot hold."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [replace_nul(item) for item in value]
    if isinstance(value, dict):
        return {replace_nul(name): replace_nul(item) for name, item in value.items()}
    return value
