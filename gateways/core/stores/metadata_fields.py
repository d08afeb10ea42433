"""The fields of metadata that filters can test, and the kinds of their values."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Literal, TypeAlias

# The name of a field, or the names on the path to a nested one.
Path: TypeAlias = tuple[str, ...]
Kind: TypeAlias = Literal["string", "number", "boolean"]
# The maximum of fields that a collection indexes.
MAX_FIELDS = 32
# Nobody filters by the equality of a longer text.
_MAX_CHARACTERS = 256
# Filters refuse other names.
_NAME = re.compile(r'[^"\\]{1,256}')


def name_fields(metadata: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, Kind]]:
    """Yield the fields of metadata that filters can test, by their names in filters, with their kinds; some twice."""
    for path, kind in (field for values in metadata for field in find_fields(values)):
        name = ".".join(path)
        if _NAME.fullmatch(name):
            yield name, kind


def find_fields(metadata: Mapping[str, Any], parents: Path = ()) -> Iterator[tuple[Path, Kind]]:
    """Yield the path and the kind of each value in metadata, also in lists. Null and objects in lists have none."""
    for name, value in metadata.items():
        path = (*parents, name)
        if isinstance(value, dict):
            yield from find_fields(value, path)
        elif isinstance(value, list):
            yield from ((path, kind) for item in value if (kind := _kind(item)))
        elif kind := _kind(value):
            yield path, kind


def _kind(value: Any) -> Kind | None:
    if isinstance(value, str):
        return "string" if len(value) <= _MAX_CHARACTERS else None
    if isinstance(value, bool):
        return "boolean"
    return "number" if isinstance(value, int | float) else None
