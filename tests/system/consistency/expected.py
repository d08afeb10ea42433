"""What a gateway may answer: a model in memory of the operations that it accepted, in order."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

Json = dict[str, Any]


@dataclass
class ExpectedJob:
    """An accepted job; `processed` is None until its end was observed."""

    id: str
    collection: str
    documents: list[tuple[str, str]]
    cancelled: bool = False
    processed: int | None = None


@dataclass(frozen=True)
class Write:
    """Document number `position` of a job, with its text."""

    job: ExpectedJob
    position: int
    text: str


@dataclass
class ExpectedCollection:
    """The writes of each document in order. None is a deletion."""

    events: dict[str, list[Write | None]] = field(default_factory=dict)
    top_k: int | None = None


class Expected:
    """The accepted operations. Of two writes of a document the later one wins."""

    def __init__(self) -> None:
        self.collections: dict[str, ExpectedCollection] = {}
        self.jobs: dict[str, ExpectedJob] = {}

    def accept(self, job: ExpectedJob) -> None:
        """Add the documents of a job."""
        self.jobs[job.id] = job
        collection = self.collections.setdefault(job.collection, ExpectedCollection())
        for position, (name, text) in enumerate(job.documents):
            collection.events.setdefault(name, []).append(Write(job, position, text))

    def delete_document(self, collection: str, name: str) -> None:
        """Add a deletion."""
        if collection in self.collections:
            self.collections[collection].events.setdefault(name, []).append(None)

    def delete_collection(self, name: str) -> None:
        """Forget everything in a collection. Its unfinished jobs are cancelled."""
        self.collections.pop(name, None)
        for job in self.jobs.values():
            if job.collection == name and job.processed is None:
                job.cancelled = True

    def finish(self, answer: Json) -> None:
        """Take over the end of a job, as the gateway answered it. Raises AssertionError if it may not end so."""
        job = self.jobs[answer["job_id"]]
        status = answer["status"]
        assert status == "completed" or (status == "cancelled" and job.cancelled), answer
        assert answer["errors"] == [], answer
        if status == "completed":
            assert answer["processed_documents"] == len(job.documents), answer
        job.processed = int(answer["processed_documents"])

    def unfinished(self) -> list[ExpectedJob]:
        """Return the jobs whose end was not observed, in order."""
        return [job for job in self.jobs.values() if job.processed is None]

    def texts(self, collection: str, name: str) -> set[str | None]:
        """Return the texts that a document may have now; None is its absence."""
        possible: set[str | None] = set()
        current = self.collections.get(collection)
        for write in reversed(current.events.get(name, []) if current else []):
            if write is None:
                return possible | {None}
            processed = write.job.processed
            if processed is None:
                possible.add(write.text)
            elif write.position < processed:
                return possible | {write.text}
        return possible | {None}

    def names(self, collection: str) -> list[str]:
        """Return the ids of all documents that were ever in a collection."""
        current = self.collections.get(collection)
        return sorted(current.events) if current else []
