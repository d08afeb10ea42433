"""What a job journal says is in the store, as jobs that write it there again."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NoReturn

import orjson

from gateways.core.jobs.base import Document, DocumentError, Job
from gateways.core.profiles import Chunking, Profile, profile_of

# Job and position in the journal: later ones replace earlier ones.
_Place = tuple[int, int]


class Replay:
    """
    A JobQueue of the documents that are in the store: those that were processed, not replaced and not deleted since.

    `profiles` are those that collections were given; `advanced` hears how many documents were added. Documents of
    jobs that are not finished are left to those jobs, beyond what they have processed.
    """

    def __init__(self, journal: Path, advanced: Callable[[int], None] = lambda documents: None) -> None:
        self._connection = sqlite3.connect(f"file:{journal}?mode=ro", uri=True)
        self._advanced = advanced
        self.profiles: dict[str, Profile] = {}
        self.errors: list[DocumentError] = []
        places: dict[tuple[str, str], _Place] = {}
        for kind, collection, name, place in self._events():
            if kind == "document":
                places[collection, name] = place
            elif kind == "delete_document":
                places.pop((collection, name), None)
            elif kind == "put_collection":
                self.profiles[collection] = profile_of(orjson.loads(name))
            else:
                self.profiles.pop(collection, None)
                places = {known: at for known, at in places.items() if known[0] != collection}
        self.collections = sorted({collection for collection, _ in places} | set(self.profiles))
        self._positions: dict[int, list[int]] = {}
        for job, position in sorted(places.values()):
            self._positions.setdefault(job, []).append(position)
        self._waiting = list(self._positions)
        self._processed = dict.fromkeys(self._positions, 0)

    @property
    def documents_left(self) -> int:
        """Return how many documents are not processed yet."""
        return sum(len(self._positions[job]) - self._processed[job] for job in self._waiting)

    async def claim(self, besides: Sequence[str] = ()) -> Job | None:
        """Return the next job that is not complete, None when all others are."""
        return next((self._job(number) for number in self._waiting if str(number) not in besides), None)

    async def status(self, job_id: str) -> Job | None:
        """Return a job: it is running."""
        return self._job(int(job_id))

    async def documents(self, job_id: str, start: int, limit: int) -> list[Document]:
        """Return documents `start` to `start + limit` of a job."""
        query = "SELECT id, text, metadata FROM documents WHERE job = ? AND position = ?"
        positions = self._positions[int(job_id)][start : start + limit]
        rows = [self._connection.execute(query, (int(job_id), position)).fetchone() for position in positions]
        return [Document(name, text, orjson.loads(metadata)) for name, text, metadata in rows]

    async def advance(self, job_id: str, processed: int, errors: Sequence[DocumentError]) -> None:
        """Tell how many documents more are processed."""
        self.errors += errors
        self._advanced(processed - self._processed[int(job_id)])
        self._processed[int(job_id)] = processed

    async def complete(self, job_id: str) -> None:
        """Go on with the next one."""
        self._waiting.remove(int(job_id))

    async def fail(self, job_id: str, error: str) -> NoReturn:
        """Give up: what cannot be written again must not replace what is there."""
        raise RuntimeError(error)

    def close(self) -> None:
        """Close the journal."""
        self._connection.close()

    def _events(self) -> Iterator[tuple[str, str, str, _Place]]:
        """Return what happened, in order: (kind, collection, id of a document or profile as JSON, place)."""
        documents = self._connection.execute(
            "SELECT 'document', collection, documents.id, number, position, 1 FROM documents "
            "JOIN jobs ON number = job WHERE position < processed"
        )
        changes = self._connection.execute(
            "SELECT kind, collection, coalesce(document, profile, ''), job, position, 0 FROM changes ORDER BY number"
        )
        # A change is before the document at its place; the sort keeps changes at one place in their order.
        for kind, collection, name, job, position, _ in sorted([*changes, *documents], key=lambda row: row[3:]):
            yield kind, collection, name, (job, position)

    def _job(self, number: int) -> Job:
        collection, chunk = self._connection.execute(
            "SELECT collection, chunk FROM jobs WHERE number = ?", (number,)
        ).fetchone()
        cut = Chunking(**orjson.loads(chunk)) if chunk else None
        count = len(self._positions[number])
        processed = self._processed[number]
        return Job(str(number), collection, "running", count, processed, None, (), 0.0, None, None, cut)
