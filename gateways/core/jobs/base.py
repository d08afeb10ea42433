"""The interface of job queues: ingest jobs, their documents, and changes of collections."""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from gateways.core.profiles import Chunking

Status: TypeAlias = Literal["pending", "running", "completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Document:
    """A document as a client sent it. Its id is the client's, or the hash of its text."""

    id: str
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DocumentError:
    """The reason why one document of a job was skipped."""

    position: int
    document_id: str
    message: str


@dataclass(frozen=True, slots=True)
class Job:
    """
    An ingest job; times are seconds since the epoch. With `chunk` None the collection's chunking applies.

    `error` is why a job failed, or why an unfinished one waits. Documents before the position `isolated` go to the
    model one at a time, because one of them made it hang.
    """

    id: str
    collection: str
    status: Status
    total_documents: int
    processed_documents: int
    error: str | None
    errors: tuple[DocumentError, ...]
    created_at: float
    started_at: float | None
    finished_at: float | None
    chunk: Chunking | None = None
    isolated: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """
    A change of a collection besides ingest. Jobs and changes, in order, determine the content of the store.

    A change comes after every document of the jobs that were accepted before it, written or not.
    """

    kind: Literal["delete_document", "delete_collection", "put_collection"]
    collection: str
    document_id: str | None = None
    profile: dict[str, Any] | None = None


class JobCancelled(Exception):
    """The job was cancelled since it was claimed."""


class JobLost(Exception):
    """Another process has taken a job over, or finished it, because the lease of this one had expired."""


class JobQueue(Protocol):
    """
    Jobs that survive kill -9 and a power cut from the moment `submit` returns.

    If several processes share the queue, the process that claims a job holds a lease of it. Once the lease expires,
    another process may take the job over; `write_lease` and `advance` then raise JobLost.
    """

    @property
    def poll_s(self) -> float | None:
        """Return the interval to poll for jobs of other processes; None if no other process submits jobs."""
        ...

    def failure(self) -> str | None:
        """Return why this process can no longer work on jobs, None if it can."""
        ...

    async def submit(
        self, collection: str, documents: Sequence[Document], key: str | None, chunk: Chunking | None = None
    ) -> Job:
        """
        Write a pending job, durably, before returning.

        `key` is an idempotency key: with the same documents the first job is returned again, with others Conflict
        is raised.
        """
        ...

    async def status(self, job_id: str) -> Job | None:
        """Return a job, or None."""
        ...

    async def recent(self, limit: int, status: Status | None = None, after: str | None = None) -> list[Job]:
        """Return the newest jobs first, of one status or of all; with `after`, those accepted before that job."""
        ...

    async def claim(
        self, excluded: Sequence[str] = (), waiting: Sequence[str] = (), served: Sequence[str] = ()
    ) -> Job | None:
        """
        Claim the next unfinished job that no other process holds, and mark it running; None if there is none.

        The jobs of a collection come in the order of acceptance, a job that is tried again last. `served` are
        collections that others go before, the one that was served last at the end. `excluded` are the ids of jobs
        that this process has claimed already, and `waiting` the collections whose jobs are not to be claimed.
        """
        ...

    async def documents(self, job_id: str, start: int, limit: int) -> list[Document]:
        """Return documents `start` to `start + limit` of a job."""
        ...

    async def queued(self, collection: str, document_id: str) -> bool:
        """Return whether an unfinished job has yet to write this document, and no later deletion forbids it."""
        ...

    def write_lease(self, job: Job, document_ids: Sequence[str]) -> AbstractAsyncContextManager[AbstractSet[str]]:
        """
        Return a context in which this process may write documents of a job that it claimed.

        It yields the ids of those that must not be written: they were deleted since the job was accepted or, if the
        job is tried again, replaced by a job that was accepted later. While the context is open, no other process
        takes the job over, cancels it, or records a deletion in its collection. Raises JobCancelled, JobLost.
        """
        ...

    async def advance(self, job_id: str, processed: int, errors: Sequence[DocumentError]) -> None:
        """
        Record that the first `processed` documents are done. `errors` are new since the last call.

        Raises JobLost, not if the job was cancelled: documents that were written before that are counted.
        """
        ...

    async def cancel(self, job_id: str) -> Job | None:
        """Mark a job cancelled, durably, and return it; None if unknown. Raises Conflict if it is finished."""
        ...

    async def cancel_all(self, collection: str) -> None:
        """Mark every unfinished job of a collection cancelled, durably."""
        ...

    async def complete(self, job_id: str) -> None:
        """Mark a job completed, unless it was cancelled."""
        ...

    async def fail(self, job_id: str, error: str) -> None:
        """Mark a job failed, unless it was cancelled."""
        ...

    async def report(self, job_id: str, error: str | None) -> None:
        """Record why an unfinished job waits, None if it goes on."""
        ...

    async def isolate(self, job_id: str, isolated: int) -> None:
        """Record, durably, that documents before this position go to the model one at a time."""
        ...

    async def retry(self, job_id: str) -> Job | None:
        """
        Queue a failed job again, durably, and return it; None if unknown. It goes on after its processed documents.

        Raises Conflict if it has not failed, or if its collection was deleted since.
        """
        ...

    async def record(self, change: Change) -> None:
        """Record a change, durably, after all jobs that were accepted so far."""
        ...

    async def compact(self) -> int:
        """
        Erase documents and changes that no unfinished or failed job and no replay needs: deleted and replaced ones.

        Returns the number of erased documents.
        """
        ...

    async def size_bytes(self) -> int:
        """Return the size of the journal on disk."""
        ...

    async def close(self) -> None:
        """Close files or connections, and release the claimed jobs."""
        ...
