"""The maintenance of a journal: its size is measured, deleted documents are erased, and an error ends nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from gateways.core.errors import BackendUnavailable, NoSpace
from gateways.core.jobs import maintenance
from gateways.core.jobs.base import Change, Document
from gateways.core.jobs.sqlite import SqliteJobs
from gateways.core.observability import metrics


class UnreliableJobs(SqliteJobs):
    """A journal whose first call for its size fails."""

    failures = 0

    async def size_bytes(self) -> int:
        """Return the size, but for the first call."""
        self.failures += 1
        if self.failures == 1:
            raise BackendUnavailable("the journal is away")
        return await super().size_bytes()


def test_deleted_documents_are_erased_in_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Although the first round fails. The metric has the size of the journal."""
    monkeypatch.setattr(maintenance, "MEASURE_EVERY_S", 0.01)
    monkeypatch.setattr(maintenance, "COMPACT_EVERY_S", 0.0)

    async def scenario() -> None:
        jobs = UnreliableJobs(tmp_path / "jobs.sqlite")
        job = await jobs.submit("books", [Document("a", "a text"), Document("b", "a text")], None)
        await jobs.advance(job.id, 2, [])
        await jobs.complete(job.id)
        await jobs.record(Change("delete_document", "books", "a"))

        task = asyncio.create_task(maintenance.JournalMaintenance(jobs).run())
        async with asyncio.timeout(30):
            while len(await jobs.documents(job.id, 0, 10)) == 2:
                assert not task.done()
                await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert [document.id for document in await jobs.documents(job.id, 0, 10)] == ["b"]
        assert metrics.journal_bytes._value.get() > 0
        await jobs.close()

    asyncio.run(scenario())


def test_a_journal_over_its_budget_takes_nothing_until_it_is_smaller(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is compacted at once then, and not only each hour."""
    monkeypatch.setattr(maintenance, "MEASURE_EVERY_S", 0.01)
    text = "a text that takes its place " * 10_000

    async def scenario() -> None:
        jobs = SqliteJobs(tmp_path / "jobs.sqlite")
        maintained = maintenance.JournalMaintenance(jobs, await jobs.size_bytes() + len(text))
        task = asyncio.create_task(maintained.run())
        await asyncio.sleep(0.1)
        maintained.check_budget()
        job = await jobs.submit("books", [Document(name, text) for name in "abcd"], None)
        await wait_until(lambda: is_over(maintained))
        with pytest.raises(NoSpace, match=r"the job journal has \d MB and MAX_JOURNAL_MB is 0: nothing"):
            maintained.check_budget()
        await jobs.complete(job.id)
        for name in "abcd":
            await jobs.record(Change("delete_document", "books", name))
        await wait_until(lambda: not is_over(maintained))
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await jobs.close()

    asyncio.run(scenario())


def is_over(maintained: maintenance.JournalMaintenance) -> bool:
    """Return whether an ingest would be refused."""
    try:
        maintained.check_budget()
    except NoSpace:
        return True
    return False


async def wait_until(condition: Callable[[], bool]) -> None:
    """Poll until the condition holds."""
    async with asyncio.timeout(30):
        while not condition():  # noqa: ASYNC110  nothing tells of it
            await asyncio.sleep(0.01)
