"""Errors of pydantic about a body or a query string, in plain words."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from difflib import get_close_matches
from typing import Any, get_args

import orjson
from pydantic import BaseModel
from pydantic_core import ErrorDetails

from gateways.core.errors import InvalidRequest

_PATTERNS = {r"^[A-Za-z0-9_-]{1,64}$": "must be 1 to 64 letters, digits, - or _"}
# By pydantic's type of an error, from its context to what the value must be.
_WORDS: Mapping[str, Callable[[Mapping[str, Any]], str]] = {
    "bool_type": lambda _: "must be true or false",
    "bool_parsing": lambda _: "must be true or false",
    "dict_type": lambda _: "must be a JSON object",
    "finite_number": lambda _: "must be a finite number",
    "float_type": lambda _: "must be a number",
    "float_parsing": lambda _: "must be a number",
    "greater_than": lambda ctx: f"must be more than {ctx['gt']}",
    "greater_than_equal": lambda ctx: f"must be {ctx['ge']} or more",
    "int_from_float": lambda _: "must be a whole number",
    "int_parsing": lambda _: "must be a whole number",
    "int_parsing_size": lambda _: "must be a smaller whole number",
    "int_type": lambda _: "must be a whole number",
    "less_than": lambda ctx: f"must be less than {ctx['lt']}",
    "less_than_equal": lambda ctx: f"must be {ctx['le']} or less",
    "list_type": lambda _: "must be a list",
    "literal_error": lambda ctx: f"must be {ctx['expected']}",
    "model_attributes_type": lambda _: "must be a JSON object",
    "model_type": lambda _: "must be a JSON object",
    "string_pattern_mismatch": lambda ctx: _PATTERNS.get(ctx["pattern"], f"must match {ctx['pattern']}"),
    "string_too_long": lambda ctx: f"must have {ctx['max_length']} characters or fewer",
    "string_too_short": lambda ctx: _at_least(ctx["min_length"], "characters"),
    "string_type": lambda _: "must be a text",
    "too_long": lambda ctx: f"must have {ctx['max_length']} entries or fewer",
    "too_short": lambda ctx: _at_least(ctx["min_length"], "entries"),
}
_TYPE_ERRORS = ("int_from_float", "is_instance_of")
# The codes of errors that validators of our own raise.
_OWN_CODES = ("inexact_number", "too_deep")
# Names of unknown fields that are compared with a missing one.
_MAX_COMPARED = 20
_SHOWN_CHARACTERS, _SHOWN_ITEMS = 80, 8


def invalid_body(model: type[BaseModel], content: Any, error: ErrorDetails) -> InvalidRequest:
    """Return what to say of an error about `content`, which `model` does not accept."""
    place = error["loc"]
    field = ".".join(str(part) for part in place)
    if error["type"] == "extra_forbidden":
        known = list(_fields_at(model, place[:-1]))
        match = get_close_matches(str(place[-1])[:_SHOWN_CHARACTERS], known, 1)
        guess = f"; did you mean {match[0]}? Known here: " if match else "; known here: "
        message = f"{field} is not a known field{guess}{', '.join(known)}."
        return InvalidRequest(message, param=field, code="unknown_field")
    if error["type"] == "missing":
        match = get_close_matches(str(place[-1]), _unknown_at(model, content, place[:-1]), 1)
        message = f"{field} is missing; did you mean it by {match[0]!r}?" if match else f"{field} is missing."
        return InvalidRequest(message, param=field, code="missing_field")
    if error["type"] in _OWN_CODES:
        return InvalidRequest(f"{field} {describe(error)}.", param=field, code=error["type"])
    message = f"{field}{_separator(error)} {describe(error)}, got {_abbreviate(error['input'])}."
    return InvalidRequest(message, param=field, code=_code(error["type"]))


def describe(error: ErrorDetails) -> str:
    """Return what a value must be, without its name."""
    words = _WORDS.get(error["type"])
    return words(error.get("ctx", {})) if words else error["msg"].removeprefix("Value error, ")


def _at_least(count: int, unit: str) -> str:
    return "must not be empty" if count == 1 else f"must have {count} {unit} or more"


def _separator(error: ErrorDetails) -> str:
    return "" if error["type"] in _WORDS or error["msg"].startswith("must ") else ":"


def _code(kind: str) -> str:
    return "invalid_type" if kind.endswith(("_type", "_parsing")) or kind in _TYPE_ERRORS else "invalid_value"


def _unknown_at(model: type[BaseModel], content: Any, path: tuple[int | str, ...]) -> list[str]:
    """Return the first names at a path of the body that are no fields there."""
    known = set(_fields_at(model, path))
    for part in path:
        try:
            content = content[part]
        except (KeyError, IndexError, TypeError):
            return []
    names = content if isinstance(content, dict) else ()
    return [name[:_SHOWN_CHARACTERS] for name in list(names)[:_MAX_COMPARED] if name not in known]


def _fields_at(model: type[BaseModel], path: tuple[int | str, ...]) -> Iterable[str]:
    """Return the names of the fields at a path such as ("documents", 3)."""
    for name in path:
        if isinstance(name, str) and name in model.model_fields:
            model = next(_models_in(model.model_fields[name].annotation), model)
    return model.model_fields


def _models_in(annotation: Any) -> Iterator[Any]:
    """Yield the models that an annotation is made of."""
    if hasattr(annotation, "model_fields"):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)


def _abbreviate(value: Any) -> str:
    text = orjson.dumps(_shrink(value, _SHOWN_ITEMS)).decode()
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 3] + "..."


def _shrink(value: Any, depth: int) -> Any:
    """Return the beginning of a JSON value, long enough to be cut again: a value may have megabytes."""
    if isinstance(value, str):
        return value[: _SHOWN_CHARACTERS + 1]
    if isinstance(value, list) and depth:
        return [_shrink(item, depth - 1) for item in value[: _SHOWN_CHARACTERS // 2 + 1]]
    if isinstance(value, dict) and depth:
        names = list(value)[:_SHOWN_ITEMS] if len(value) > _SHOWN_ITEMS else value
        return {name[: _SHOWN_CHARACTERS + 1]: _shrink(value[name], depth - 1) for name in names}
    if isinstance(value, int) and value.bit_length() > 63:
        return float(value)  # orjson writes 64 bits
    return [] if isinstance(value, list | dict) else value
