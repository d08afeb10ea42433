"""Checks of a model's files before they are loaded: they are still the ones that were fetched or exported."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from gateways.core.errors import fetching
from gateways.core.models.catalog import CatalogError, Located

# scripts/models writes the first beside a graph, the second beside files whose hashes the catalogue lacks.
EXPORT, PINS = "export.json", "sha256.json"
# The hash of a file up to this size takes less than a millisecond; a graph has its weights in a file of their own.
SMALL_BYTES = 1_000_000
WEIGHTS = ".safetensors"


class Record(NamedTuple):
    """What is known of a file: its SHA-256 in hex, and its size if the export recorded it."""

    path: Path
    sha256: str
    size_bytes: int | None = None


def check_files(located: Located, *, whole: bool) -> None:
    """
    Raise CatalogError for a file of the model that differs from its record.

    Small files of an export are compared by SHA-256, large ones by size. With `whole` every file that this runtime
    reads is compared by SHA-256, also those that were fetched. A file without a record is not compared.
    """
    for record in (*_exported(located), *(_fetched(located) if whole else ())):
        if not record.path.is_file():
            raise CatalogError(f"{record.path} is not there: {fetching(located.info.id)}")
        size_bytes = record.path.stat().st_size
        if record.size_bytes not in (None, size_bytes):
            raise _differs(located, record, f"it has {size_bytes} bytes and had {record.size_bytes}")
        if whole or size_bytes <= SMALL_BYTES:
            with record.path.open("rb") as file:
                actual = hashlib.file_digest(file, "sha256").hexdigest()
            if actual != record.sha256:
                raise _differs(located, record, f"its SHA-256 is {actual} and was {record.sha256}")


def _exported(located: Located) -> Iterator[Record]:
    """Yield the graph and its external weights, nothing for weights that were not exported."""
    folder = located.weights.parent
    for graph in _read_json(folder / EXPORT).get("graphs", {}).values():
        if graph.get("file") == located.weights.name:
            for part in filter(None, (graph, graph.get("weights"))):
                yield Record(folder / part["file"], part["sha256"], part["bytes"])


def _fetched(located: Located) -> Iterator[Record]:
    """Yield the fetched files with a known hash. Weights that another runtime loads are left out."""
    pins: dict[str, str] = _read_json(located.folder / PINS)
    for name, sha256 in (pins | {name: known for name, known in located.entry.files.items() if known}).items():
        path = located.folder / name
        if not name.endswith(WEIGHTS) or path == located.weights:
            yield Record(path, sha256)


def _read_json(path: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    except ValueError as error:
        raise CatalogError(f"{path} cannot be read: {error}; delete its folder and make it again") from None
    return content


def _differs(located: Located, record: Record, difference: str) -> CatalogError:
    return CatalogError(
        f"{record.path} is damaged or was replaced: {difference}. Delete it, then: {fetching(located.info.id)}"
    )
