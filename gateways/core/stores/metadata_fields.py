"""The fields of metadata that filters can test, and the kinds of their values."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, TypeAlias

# The name of a field, or the names on the path to a nested one.
Path: TypeAlias = tuple[str, ...]
Kind: TypeAlias = Literal["string", "number", "boolean"]
# Nobody filters by the equality of a longer text.
_MAX_CHARACTERS = 256


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
