"""The server's indexes of metadata fields, made as fields appear."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from qdrant_client import models

from gateways.core.stores.metadata_fields import MAX_FIELDS, Kind, name_fields
from gateways.core.stores.payloads import METADATA
from gateways.core.stores.qdrant.connection import CollectionConnection
from gateways.core.stores.qdrant.filter import server_paths

# Values of floats and integers are in one index. The server's integer index would leave out fractions.
_SCHEMAS: Mapping[Kind, models.PayloadSchemaType] = {
    "string": models.PayloadSchemaType.KEYWORD,
    "number": models.PayloadSchemaType.FLOAT,
    "boolean": models.PayloadSchemaType.BOOL,
}


class FieldIndexes:
    """
    The fields of a collection's metadata that this gateway had indexed.

    A field has one index, by the kind of the first value. Filters on other fields are right as well, and slow.
    """

    def __init__(self, connection: CollectionConnection, max_paths: int = 2 * MAX_FIELDS) -> None:
        """The server has at most `max_paths` indexes of metadata: two for a nested field."""
        self._connection = connection
        self._max_paths = max_paths
        self._names: set[str] = set()

    async def add(self, metadata: Iterable[Mapping[str, Any]]) -> None:
        """
        Have the new fields in the metadata of passages indexed, which the server does in the background.

        An index that is there already, by another gateway or an earlier start, stays.
        """
        fields: dict[str, Kind] = {}
        for name, kind in name_fields(metadata):
            if name not in self._names:
                fields.setdefault(name, kind)
        if not fields:
            return
        async with self._connection.mapped_errors():
            info = await self._connection.client.get_collection(self._connection.server_name)
        indexed = sum(1 for path in info.payload_schema if path.startswith(METADATA))
        for name, kind in fields.items():
            paths = server_paths(name)
            if indexed + len(paths) <= self._max_paths:
                await self._create(paths, kind)
                indexed += len(paths)
        self._names |= fields.keys()

    async def _create(self, paths: Iterable[str], kind: Kind) -> None:
        for path in paths:
            async with self._connection.mapped_errors():
                await self._connection.client.create_payload_index(
                    self._connection.server_name, path, _SCHEMAS[kind], wait=False
                )
