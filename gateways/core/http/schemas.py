"""The base classes and the field types of request bodies."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Annotated, Any, TypeAlias, TypeVar, get_args

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, model_validator

T = TypeVar("T")

# A list that is validated up to its first wrong item: pydantic would keep an error of 1.4 KB for each of them.
Items: TypeAlias = Annotated[list[T], Field(fail_fast=True)]


@dataclass(frozen=True, slots=True)
class _Names:
    """The names that a body may have, aliases included: all, those with a default, and those of whole numbers."""

    known: frozenset[str]
    optional: frozenset[str]
    integers: frozenset[str]
    closed: bool


class _Body(BaseModel):
    """
    A body as clients send it.

    Null is the default of an optional field, because some clients send every field. A number without a fraction, such
    as 2.0, is a whole number, because some languages have no other numbers.
    """

    @model_validator(mode="before")
    @classmethod
    def _read_values(cls, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        names = _names_of(cls)
        if names.closed and not value.keys() <= names.known:
            value = _with_one_unknown(value, names.known)
        kept: dict[str, Any] = {}
        for name, item in value.items():
            if item is None:
                if name not in names.optional:
                    kept[name] = item
            elif type(item) is float and name in names.integers and item.is_integer():
                kept[name] = int(item)
            else:
                kept[name] = item
        return kept


class Strict(_Body):
    """A body in which an unknown field is an error."""

    model_config = ConfigDict(extra="forbid", strict=True)


class Lenient(_Body):
    """A body in which unknown fields are ignored, because its clients send some."""

    model_config = ConfigDict(extra="ignore", strict=True)


def _with_one_unknown(value: dict[str, Any], known: frozenset[str]) -> dict[str, Any]:
    """Return a body with its first unknown field alone: one is an error, and pydantic would keep an error of each."""
    first = next(name for name in value if name not in known)
    return {name: item for name, item in value.items() if name in known or name == first}


@lru_cache(maxsize=256)
def _names_of(model: type[BaseModel]) -> _Names:
    known, optional, integers = set(), set(), set()
    for name, field in model.model_fields.items():
        aliases = field.validation_alias.choices if isinstance(field.validation_alias, AliasChoices) else ()
        names = {name, *(alias for alias in aliases if isinstance(alias, str))}
        known |= names
        if not field.is_required():
            optional |= names
        if int in (field.annotation, *get_args(field.annotation)):
            integers |= names
    closed = model.model_config.get("extra") == "forbid"
    return _Names(frozenset(known), frozenset(optional), frozenset(integers), closed)
