"""The replay of a journal: which documents are in the store, by the order of jobs and changes."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

from gateways.core.jobs.base import Change, Document
from gateways.core.jobs.replay import Replay
from gateways.core.jobs.sqlite import SqliteJobs


class Journal:
    """A journal that tests write step by step."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "jobs.sqlite"
        self.jobs = SqliteJobs(self.path)

    def accept(self, *names: str) -> str:
        """Return the id of a new job of documents with these ids."""
        documents = [Document(name, f"text of {name}") for name in names]
        return asyncio.run(self.jobs.submit("books", documents, None)).id

    def process(self, job_id: str, processed: int) -> None:
        """Count the first documents of a job."""
        asyncio.run(self.jobs.advance(job_id, processed, []))

    def delete(self, name: str) -> None:
        """Record the deletion of a document."""
        asyncio.run(self.jobs.record(Change("delete_document", "books", name)))

    def replay(self) -> Sequence[str]:
        """Return the ids of the documents of a replay, in its order."""
        replay = Replay(self.path)
        names = []
        while job := asyncio.run(replay.claim()):
            names += [document.id for document in asyncio.run(replay.documents(job.id, 0, 100))]
            asyncio.run(replay.complete(job.id))
        replay.close()
        return names


def test_only_processed_documents_are_replayed(tmp_path: Path) -> None:
    """The next one is its job's."""
    journal = Journal(tmp_path)
    job = journal.accept("a", "b", "c")
    journal.process(job, 2)

    assert journal.replay() == ["a", "b"]


def test_a_deletion_removes_what_was_accepted_before_it(tmp_path: Path) -> None:
    """Also a document that its job processes only afterwards."""
    journal = Journal(tmp_path)
    job = journal.accept("a", "b", "c")
    journal.process(job, 1)
    journal.delete("a")
    journal.delete("b")
    journal.process(job, 3)

    assert journal.replay() == ["c"]


def test_a_document_that_is_accepted_after_a_deletion_stays(tmp_path: Path) -> None:
    """Even if it is the first document of the next job, which is the place of the deletion."""
    journal = Journal(tmp_path)
    journal.process(journal.accept("a"), 1)
    journal.delete("a")
    journal.process(journal.accept("a", "b"), 2)
    journal.delete("b")

    assert journal.replay() == ["a"]


def test_a_deletion_of_another_collection_changes_nothing(tmp_path: Path) -> None:
    """Documents are equal only with their collection."""
    journal = Journal(tmp_path)
    journal.process(journal.accept("a"), 1)
    asyncio.run(journal.jobs.record(Change("delete_document", "films", "a")))
    asyncio.run(journal.jobs.record(Change("delete_collection", "films")))

    assert journal.replay() == ["a"]
