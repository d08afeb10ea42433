"""The engine's indexes of metadata fields, made as fields appear."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import orjson
import qdrant_edge as qdrant

from gateways.core.persistence.atomic_files import write
from gateways.core.stores import filters
from gateways.core.stores.edge.filter import engine_paths
from gateways.core.stores.edge.shard import Shard
from gateways.core.stores.metadata_fields import MAX_FIELDS, Kind, name_fields
from gateways.core.stores.payloads import BOOLEANS, METADATA, booleans

log = logging.getLogger(__name__)
FIELDS = "fields.json"
# The engine holds the interpreter's lock while it makes an index: 0.1 s for this many passages. A field that appears
# later gets its index at the next start.
MAX_PASSAGES = 10_000
_POINTS_PER_READ = 1_000
# Values of floats and integers are in one index. The engine's integer index would leave out fractions.
_SCHEMAS: Mapping[Kind, Any] = {
    "string": qdrant.PayloadSchemaType.Keyword,
    "number": qdrant.PayloadSchemaType.Float,
    "boolean": qdrant.IntegerIndexParams(lookup=True, range=False),
}


class FieldIndexes:
    """
    The fields of a collection's metadata that have an index, or get one at the next start.

    Filters on other fields are right as well, and slow: the engine reads the metadata of every passage.
    """

    def __init__(
        self, folder: Path, shard: Shard, max_fields: int = MAX_FIELDS, max_passages: int = MAX_PASSAGES
    ) -> None:
        """
        Index the fields of stored passages, which an earlier version did not do.

        Fields that appear when there are more than `max_passages` get their index at the next start.
        """
        self._file = folder / FIELDS
        self._shard = shard
        self._max_fields, self._max_passages = max_fields, max_passages
        self._indexed = set(shard.engine.info().payload_schema)
        # By the name of a field in filters, and whether it is for booleans. The first kind of other values counts.
        self._kinds: dict[tuple[str, bool], Kind] = {}
        if self._file.exists():
            self._kinds = {(name, kind == "boolean"): kind for name, kind in orjson.loads(self._file.read_bytes())}
        else:
            if shard.point_count:
                log.info("collection %s: indexing the metadata of %d passages, once", folder.name, shard.point_count)
            self._add_stored()
        for name, kind in [(name, kind) for (name, _), kind in self._kinds.items()][:max_fields]:
            self._create(name, kind)

    def add(self, metadata: Iterable[Mapping[str, Any]]) -> None:
        """Index the new fields in the metadata of passages that are about to be written."""
        new = self._find_new(metadata)
        if not new:
            return
        self._record()
        if self._shard.point_count > self._max_passages:
            names = ", ".join(name for name, _ in new)
            log.warning("collection %s: at the next start filters by %s get fast", self._file.parent.name, names)
            return
        for name, kind in new:
            self._create(name, kind)

    def covers(self, test: filters.Test) -> bool:
        """Return whether the engine tests indexes instead of the metadata of every passage."""
        values = filters.values_of(test)
        roots = {BOOLEANS if isinstance(value, bool) else METADATA for value in values} or {METADATA}
        return all(path in self._indexed for path in engine_paths(test.field, *roots))

    def _find_new(self, metadata: Iterable[Mapping[str, Any]]) -> list[tuple[str, Kind]]:
        new = []
        for name, kind in name_fields(metadata):
            if (name, kind == "boolean") not in self._kinds and len(self._kinds) < self._max_fields:
                self._kinds[name, kind == "boolean"] = kind
                new.append((name, kind))
        return new

    def _add_stored(self) -> None:
        """Find the fields of all passages, and repeat booleans that an earlier version did not repeat."""
        offset: Any = None
        engine = self._shard.engine
        while True:
            fields = [METADATA, BOOLEANS]
            request = qdrant.ScrollRequest(offset=offset, limit=_POINTS_PER_READ, with_payload=fields)
            records, offset = engine.scroll(request)
            payloads = [(record.id, record.payload or {}) for record in records]
            self._find_new(payload.get(METADATA, {}) for _, payload in payloads)
            for key, payload in payloads:
                repeated = booleans(payload.get(METADATA, {}))
                if repeated != payload.get(BOOLEANS):
                    engine.update(qdrant.UpdateOperation.set_payload([key], {BOOLEANS: repeated}))
            if offset is None:
                break
        engine.flush()
        self._record()

    def _create(self, name: str, kind: Kind) -> None:
        for path in engine_paths(name, BOOLEANS if kind == "boolean" else METADATA):
            if path not in self._indexed:
                operation = qdrant.UpdateOperation.create_field_index(path, _SCHEMAS[kind])
                self._shard.engine.update(operation)
                self._indexed.add(path)

    def _record(self) -> None:
        write(self._file, orjson.dumps([(name, kind) for (name, _), kind in self._kinds.items()]))
