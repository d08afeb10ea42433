"""The number of documents that a collection has at least, in a file: a shard that opens with fewer lost some."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

import orjson

from gateways.core.persistence.atomic_files import write
from gateways.core.stores.base import CollectionDamaged
from gateways.core.stores.edge.shard import Shard

log = logging.getLogger(__name__)
COUNT = "documents.json"


class DocumentCount:
    """
    The documents at the last flush, and the file with their least number.

    The file is true whenever the process is killed: a smaller number is written before a flush, a greater one after.
    """

    def __init__(self, path: Path, documents: int) -> None:
        """`path` is the folder of the collection, which opened with `documents`. Raises CollectionDamaged."""
        self._file = path / COUNT
        self.documents = documents
        self._written: set[str] = set()
        self._least = read_count(path)
        if self._least is not None and documents < self._least:
            raise CollectionDamaged(path.name, f"it opens with {documents} of {self._least} documents")

    def add_written(self, document_ids: Iterable[str]) -> None:
        """Remember documents that are written before the next flush."""
        self._written.update(document_ids)

    def flush(self, shard: Shard) -> None:
        """Flush every write to a shard."""
        documents = shard.count_documents()
        self.prepare_flush(documents)
        shard.engine.flush()
        self.finish_flush(documents)

    def prepare_flush(self, documents: int) -> None:
        """Lower the number in the file to what a killed flush of a shard with `documents` leaves at least."""
        # A kill during the flush may take documents that are being replaced or deleted, and no others.
        least = min(self.documents, max(0, documents - len(self._written)))
        if self._least is None or least < self._least:
            self._record(least)

    def finish_flush(self, documents: int) -> None:
        """Take over the number of documents of a shard that was flushed."""
        self._written.clear()
        self.documents = documents
        if documents != self._least:
            try:
                self._record(documents)
            except OSError as error:  # The number in the file is too small, which is true as well.
                log.warning("%s cannot be written: %s", self._file, error)

    def _record(self, least: int) -> None:
        write(self._file, orjson.dumps({"documents": least}))
        self._least = least


def read_count(path: Path) -> int | None:
    """Return the least number of documents in the folder of a collection, None if it is not known."""
    try:
        return int(orjson.loads((path / COUNT).read_bytes())["documents"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        log.warning("%s cannot be read: %s", path / COUNT, error)
        return None
