"""Replay of a job journal: jobs that write the documents of the store again."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NoReturn

import orjson

from gateways.core.jobs.base import Document, DocumentError, Job
from gateways.core.jobs.rows import to_chunking
from gateways.core.profiles import Profile, parse_profile

# Number of a job, and position of a document in it. A later document replaces an earlier one.
_Place = tuple[int, int]


class Replay:
    """
    A JobQueue of the documents in the store: those that were processed, and neither replaced nor deleted since.

    `profiles` are the last ones that were put, by collection, and `errors` the documents that were skipped. `error`
    is why the replay waits, None if it goes on.
    Documents that an unfinished job has not processed yet are left to that job.
    """

    def __init__(self, journal: Path, on_advance: Callable[[int], None] = lambda documents: None) -> None:
        """`on_advance` is called with the number of newly processed documents."""
        self._connection = sqlite3.connect(f"file:{journal}?mode=ro", uri=True)
        self._on_advance = on_advance
        self.profiles: dict[str, Profile] = {}
        self.errors: list[DocumentError] = []
        self.error: str | None = None
        places = self._replay_events()
        self.collections = sorted({collection for collection, _ in places} | set(self.profiles))
        self._positions: dict[int, list[int]] = {}
        for job, position in sorted(places.values()):
            self._positions.setdefault(job, []).append(position)
        self._pending = list(self._positions)
        self._processed = dict.fromkeys(self._positions, 0)

    @property
    def documents_left(self) -> int:
        """Return the number of documents that are not processed yet."""
        return sum(len(self._positions[job]) - self._processed[job] for job in self._pending)

    async def claim(
        self, excluded: Sequence[str] = (), waiting: Sequence[str] = (), served: Sequence[str] = ()
    ) -> Job | None:
        """Return the next job that is not complete, or None."""
        jobs = (self._read_job(number) for number in self._pending if str(number) not in excluded)
        return next((job for job in jobs if job.collection not in waiting), None)

    async def status(self, job_id: str) -> Job | None:
        """Return a job. Its status is "running"."""
        return self._read_job(int(job_id))

    async def documents(self, job_id: str, start: int, limit: int) -> list[Document]:
        """Return documents `start` to `start + limit` of a job."""
        query = "SELECT id, text, metadata FROM documents WHERE job = ? AND position = ?"
        positions = self._positions[int(job_id)][start : start + limit]
        rows = [self._connection.execute(query, (int(job_id), position)).fetchone() for position in positions]
        return [Document(name, text, orjson.loads(metadata)) for name, text, metadata in rows]

    @asynccontextmanager
    async def write_lease(self, job: Job, document_ids: Sequence[str]) -> AsyncIterator[AbstractSet[str]]:
        """Yield no id: deleted documents are no part of the replay."""
        yield frozenset()

    async def advance(self, job_id: str, processed: int, errors: Sequence[DocumentError]) -> None:
        """Record the number of processed documents, and their new errors."""
        self.errors += errors
        self._on_advance(processed - self._processed[int(job_id)])
        self._processed[int(job_id)] = processed

    async def complete(self, job_id: str) -> None:
        """Remove a job from the queue."""
        self._pending.remove(int(job_id))

    async def report(self, job_id: str, error: str | None) -> None:
        """Keep why the replay waits, None if it goes on."""
        self.error = error

    async def isolate(self, job_id: str, isolated: int) -> None:
        """Do nothing: the progress of the job, which lasts as long as the replay, has it too."""

    async def fail(self, job_id: str, error: str) -> NoReturn:
        """Raise RuntimeError, because an incomplete replay must not replace the store."""
        raise RuntimeError(error)

    def close(self) -> None:
        """Close the journal."""
        self._connection.close()

    def _replay_events(self) -> dict[tuple[str, str], _Place]:
        """Return the places of the documents in the store, by collection and id, and fill `profiles`."""
        places: dict[tuple[str, str], _Place] = {}
        for kind, collection, name, place in self._read_events():
            if kind == "document":
                places[collection, name] = place
            elif kind == "delete_document":
                places.pop((collection, name), None)
            elif kind == "put_collection":
                self.profiles[collection] = parse_profile(orjson.loads(name))
            else:
                self.profiles.pop(collection, None)
                places = {document: kept for document, kept in places.items() if document[0] != collection}
        return places

    def _read_events(self) -> Iterator[tuple[str, str, str, _Place]]:
        """Yield the events in order: (kind, collection, document id or profile as JSON, place)."""
        documents = self._connection.execute(
            "SELECT 'document', collection, documents.id, number, position, 1 FROM documents "
            "JOIN jobs ON number = job WHERE position < processed"
        )
        changes = self._connection.execute(
            "SELECT kind, collection, coalesce(document, profile, ''), job, position, 0 FROM changes ORDER BY number"
        )
        # A change comes before the document at its place. Changes at one place keep their order in the stable sort.
        for kind, collection, name, job, position, _ in sorted([*changes, *documents], key=lambda row: row[3:]):
            yield kind, collection, name, (job, position)

    def _read_job(self, number: int) -> Job:
        collection, chunk = self._connection.execute(
            "SELECT collection, chunk FROM jobs WHERE number = ?", (number,)
        ).fetchone()
        count = len(self._positions[number])
        processed = self._processed[number]
        return Job(
            str(number), collection, "running", count, processed, None, (), 0.0, None, None, to_chunking(chunk)
        )
