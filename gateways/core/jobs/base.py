"""What ingest needs of a job queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeAlias

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
    """An ingest job; times are seconds since the epoch."""

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


class JobQueue(Protocol):
    """Jobs that survive kill -9 and a power cut from the moment `submit` returns."""

    async def submit(self, collection: str, documents: Sequence[Document], key: str | None) -> Job:
        """
        Write a pending job, durably, before returning.

        The same idempotency `key` with the same documents returns the first job again; with others it raises
        Conflict.
        """
        ...

    async def status(self, job_id: str) -> Job | None:
        """Return a job, or None."""
        ...

    async def recent(self, limit: int) -> list[Job]:
        """Return the newest jobs first."""
        ...

    async def claim(self) -> Job | None:
        """Take the oldest job that is not finished and mark it running; None when there is none."""
        ...

    async def documents(self, job_id: str, start: int, limit: int) -> list[Document]:
        """Return documents `start` to `start + limit` of a job."""
        ...

    async def advance(self, job_id: str, processed: int, errors: Sequence[DocumentError]) -> None:
        """Remember that the first `processed` documents are done; `errors` are the new ones among them."""
        ...

    async def complete(self, job_id: str) -> None:
        """Mark a job completed."""
        ...

    async def fail(self, job_id: str, error: str) -> None:
        """Mark a job failed."""
        ...

    def close(self) -> None:
        """Let go of the files."""
        ...
