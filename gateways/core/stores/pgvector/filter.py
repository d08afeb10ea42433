"""Conditions as SQL over the `metadata` of a passage. Values are parameters, never text of a statement."""

from __future__ import annotations

from typing import Any

import orjson
from psycopg import sql

from gateways.core.stores import filters

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
        tests = " && ".join(f"@ {_OPERATORS[name]} ${name}" for name in condition.bounds)
        bounds = orjson.dumps(condition.bounds).decode()
        # The path visits every number of a list. Other types match no range.
        return _test_paths(
            condition.field, f"jsonb_path_exists(metadata #> %s, '$[*] ? ({tests})', %s::jsonb)", bounds
        )
    # `@>` matches the value itself, and a list that contains it.
    return _test_paths(condition.field, "(metadata #> %s) @> %s::jsonb", _to_json(condition.value))


def _test_paths(name: str, test: str, value: str) -> tuple[sql.Composable, list[Any]]:
    """Return a test of the field `name` or, if the name has dots, of the nested field of that path."""
    paths = [[name]]
    if "." in name and all(name.split(".")):
        paths.append(name.split("."))
    tests = " OR ".join(f"coalesce({test}, false)" for _ in paths)
    return sql.SQL(f"({tests})"), [part for path in paths for part in (replace_nul(path), value)]


def _to_json(value: filters.Scalar) -> str:
    return orjson.dumps(replace_nul(value)).decode()


def replace_nul(value: Any) -> Any:
    """Return a JSON value with U+FFFD for U+0000, which PostgreSQL cannot hold."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [replace_nul(item) for item in value]
    if isinstance(value, dict):
        return {replace_nul(name): replace_nul(item) for name, item in value.items()}
    return value
