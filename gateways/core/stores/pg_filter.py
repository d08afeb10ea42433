"""Conditions in PostgreSQL's words, over the `metadata` of a passage; values are parameters, never text."""

from __future__ import annotations

from typing import Any

import orjson
from psycopg import sql

from gateways.core.stores import filters

_OPERATORS = {"gt": ">", "gte": ">=", "lt": "<", "lte": "<="}


def translate(condition: filters.Condition | None) -> tuple[sql.Composable, list[Any]]:
    """Return the expression, true or false but never null, and its parameters in their order."""
    if condition is None:
        return sql.SQL("true"), []
    if isinstance(condition, filters.Join):
        translated = [translate(part) for part in condition.parts]
        values = [value for _, its in translated for value in its]
        joined = sql.SQL(" OR " if condition.how == "or" else " AND ").join(
            sql.SQL("({})").format(part) for part, _ in translated
        )
        if condition.how == "not":
            joined = sql.SQL("NOT ({})").format(joined)
        return (joined if translated else sql.SQL("true")), values
    if isinstance(condition, filters.Range):
        tests = " && ".join(f"@ {_OPERATORS[name]} ${name}" for name in condition.bounds)
        bounds = orjson.dumps(condition.bounds).decode()
        # A list is tested number by number, all else than numbers is none.
        return _over_paths(
            condition.field, f"jsonb_path_exists(metadata #> %s, '$[*] ? ({tests})', %s::jsonb)", bounds
        )
    # Contains: the value itself, or a list that has it.
    return _over_paths(condition.field, "(metadata #> %s) @> %s::jsonb", _json(condition.value))


def _over_paths(name: str, test: str, value: str) -> tuple[sql.Composable, list[Any]]:
    """Test the field of this name, and where the name has dots, the nested field that they spell, too."""
    paths = [[name]]
    if "." in name and all(name.split(".")):
        paths.append(name.split("."))
    tests = " OR ".join(f"coalesce({test}, false)" for _ in paths)
    return sql.SQL(f"({tests})"), [part for path in paths for part in (sayable(path), value)]


def _json(value: filters.Scalar) -> str:
    return orjson.dumps(sayable(value)).decode()


def sayable(value: Any) -> Any:
    """Return a JSON value as PostgreSQL can hold it: it knows no sign with the number 0."""
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, list):
        return [sayable(item) for item in value]
    if isinstance(value, dict):
        return {sayable(name): sayable(item) for name, item in value.items()}
    return value
