"""JSON values that a client chooses freely, as in metadata and filters: how deep they are, and their numbers."""

from __future__ import annotations

import re
from typing import Annotated, Any, TypeAlias

from pydantic import AfterValidator, ValidationInfo
from pydantic_core import PydanticCustomError

MAX_DEPTH = 32
# Integers from here on are read as floating point, which has 53 bits for the digits.
_TOO_LARGE = 2.0**63
_LONG_INTEGER = re.compile(rb"(?<![\w.+-])-?\d{19,}(?![\w.])")


def check_depth(value: dict[str, Any]) -> dict[str, Any]:
    """Return an object. Raises an error of pydantic if lists and objects are nested more than MAX_DEPTH deep."""
    level: list[Any] = [value]
    for _ in range(MAX_DEPTH):
        level = [inner for outer in level for inner in _parts(outer) if isinstance(inner, dict | list)]
        if not level:
            return value
    raise PydanticCustomError("too_deep", "is nested more than {limit} deep", {"limit": MAX_DEPTH})


def check_numbers(value: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
    """
    Return an object of the body that is the context of the validation.

    Raises an error of pydantic for an integer beyond 64 bits, which was rounded when the body was read.
    """
    pending: list[Any] = [value]
    while pending:
        for part in _parts(pending.pop()):
            if type(part) is str:
                continue
            if type(part) is float:
                if abs(part) >= _TOO_LARGE and (sent := _rounded(part, info.context or b"")):
                    raise PydanticCustomError(
                        "inexact_number",
                        "has the number {sent}, which is beyond 64 bits and would be rounded; send it as a text",
                        {"sent": sent},
                    )
            elif isinstance(part, dict | list):
                pending.append(part)
    return value


def _parts(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value


def _rounded(number: float, body: bytes) -> str | None:
    """Return the integer of a body that became another number, cut to a line."""
    for match in _LONG_INTEGER.finditer(body):
        digits = match[0].decode()
        if float(digits) == number and int(digits) != int(number):
            return digits if len(digits) <= 40 else f"{digits[:40]}…"
    return None


JsonObject: TypeAlias = Annotated[dict[str, Any], AfterValidator(check_numbers)]
ShallowObject: TypeAlias = Annotated[dict[str, Any], AfterValidator(check_depth), AfterValidator(check_numbers)]
