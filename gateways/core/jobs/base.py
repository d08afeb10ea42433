"""What ingest needs of a job queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

from gateways.core.profiles import Chunking

Status: TypeAlias = Literal["pending", "running", "completed", "failed", "cancelled"]


@dataclass(frozen=True, slots=True)
class Document:
    """A document as a client sent it, its id settled."""

    id: str
    text: str
    metadata: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class DocumentError:
    """Why one document of a job was left out."""

    position: int
    document_id: str
    message: str


@dataclass(frozen=True, slots=True)
class Job:
    """An ingest job; times are seconds since the epoch. `chunk` is how its documents are cut, None: not at all."""

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


@dataclass(frozen=True, slots=True)
class Change:
    """What was done to a collection besides ingest; with the jobs, in their order, it tells what the store holds."""

    kind: Literal["delete_document", "delete_collection", "put_collection"]
    collection: str
    document_id: str | None = None
    profile: dict[str, Any] | None = None


class JobLost(Exception):
    """Another process has taken a job over: this one was not heard of for too long."""


class JobQueue(Protocol):
    """
    Jobs that survive kill -9 and a power cut from the moment `submit` returns.

    Where several processes share them, a job belongs to the one that claimed it for as long as that is heard of.
    What another process does with a job meanwhile raises JobLost.
    """

    @property
    def poll_s(self) -> float | None:
        """Return after how many seconds to look for jobs of other processes; None where there are none."""
        ...

    async def submit(
        self, collection: str, documents: Sequence[Document], key: str | None, chunk: Chunking | None = None
    ) -> Job:
        """
        Write a pending job, durably, before returning.

        The same idempotency `key` with the same documents returns the first job again; with others it raises
        Conflict.
        """
        ...

    async def status(self, job_id: str) -> Job | None:
        """Return a job, or None."""
        ...

    async def recent(self, limit: int, status: Status | None = None) -> list[Job]:
        """Return the newest jobs first, all of them or those of one status."""
        ...

    async def claim(self, besides: Sequence[str] = ()) -> Job | None:
        """
        Take the oldest job that is not finished, nor another's, and mark it running; None when there is none.

        `besides` are the ids of those that this process is at already.
        """
        ...

    async def documents(self, job_id: str, start: int, limit: int) -> list[Document]:
        """Return documents `start` to `start + limit` of a job."""
        ...

    async def advance(self, job_id: str, processed: int, errors: Sequence[DocumentError]) -> None:
        """Remember that the first `processed` documents are done; `errors` are the new ones among them."""
        ...

    async def cancel(self, job_id: str) -> Job | None:
        """Mark a job cancelled, durably, and return it; None for an unknown one, Conflict for a finished one."""
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

    async def record(self, change: Change) -> None:
        """Write down a change, durably, at this point of the jobs."""
        ...

    async def close(self) -> None:
        """Let go of files or connections, and of the job that is claimed."""
        ...
