"""Compaction of the SQLite journal: what is deleted is erased, and a replay is the same before and after."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from gateways.core.errors import Conflict
from gateways.core.jobs.base import Change, Document
from gateways.core.jobs.replay import Replay
from gateways.core.jobs.sqlite import SqliteJobs

DELETED_TEXT = "the text that nobody may find any more "
NAMES = st.sampled_from(["a", "b", "c", "d\0"])
COLLECTIONS = st.sampled_from(["books", "films"])
OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("ingest"), COLLECTIONS, st.lists(NAMES, min_size=1, max_size=4)),
        st.tuples(st.just("work"), COLLECTIONS, st.sampled_from(["part", "complete", "fail", "cancel"])),
        st.tuples(st.just("retry"), COLLECTIONS, st.just("")),
        st.tuples(st.just("delete"), COLLECTIONS, NAMES),
        st.tuples(st.just("drop"), COLLECTIONS, st.just("")),
        st.tuples(st.just("put"), COLLECTIONS, st.just("")),
        st.tuples(st.just("compact"), COLLECTIONS, st.just("")),
    ),
    max_size=25,
)
PROFILE = {"embedding_model": "m", "dimensions": 4, "sparse_model": "bm25", "chunk": None}


async def apply(jobs: SqliteJobs, kind: str, collection: str, what: Sequence[str]) -> None:
    """Do one thing that a gateway does to its journal."""
    if kind == "ingest":
        await jobs.submit(collection, [Document(name, f"{DELETED_TEXT} {name}") for name in what], None)
    elif kind == "delete":
        await jobs.record(Change("delete_document", collection, str(what)))
    elif kind == "drop":
        await jobs.cancel_all(collection)
        await jobs.record(Change("delete_collection", collection))
    elif kind == "put":
        await jobs.record(Change("put_collection", collection, profile=PROFILE))
    elif kind == "compact":
        await jobs.compact()
    elif kind == "retry":
        for failed in await jobs.recent(100, "failed"):
            if failed.collection == collection:
                with suppress(Conflict):  # its collection was deleted
                    await jobs.retry(failed.id)
    elif job := await jobs.claim((), ["films" if collection == "books" else "books"]):
        await jobs.advance(job.id, job.total_documents if what == "complete" else max(1, job.processed_documents), [])
        if what == "fail":
            await jobs.fail(job.id, "it broke")
        elif what == "complete":
            await jobs.complete(job.id)
        elif what == "cancel":
            await jobs.cancel(job.id)


async def state(jobs: SqliteJobs, path: Path) -> list[object]:
    """Return all that the journal decides: the replay, and what unfinished and failed jobs may write."""
    replay = Replay(path)
    found: list[object] = [replay.profiles]
    while job := await replay.claim():
        found.append((job.collection, [document.id for document in await replay.documents(job.id, 0, 100)]))
        await replay.complete(job.id)
    replay.close()
    for unfinished in await jobs.recent(100):
        if unfinished.finished_at is None:
            documents = await jobs.documents(unfinished.id, unfinished.processed_documents, 100)
            ids = [document.id for document in documents]
            async with jobs.write_lease(unfinished, ids) as outdated:
                found.append((unfinished.collection, [name for name in ids if name not in outdated]))
    return found


@given(OPERATIONS)
@settings(max_examples=150, deadline=None)
def test_compaction_changes_nothing_that_the_journal_decides(
    operations: list[tuple[str, str, Sequence[str]]],
) -> None:
    """A journal that is compacted now and then has the same replay as one that never is, and writes the same."""

    async def scenario(folder: Path) -> None:
        compacted, whole = SqliteJobs(folder / "compacted"), SqliteJobs(folder / "whole")
        for operation in [*operations, ("compact", "", "")]:
            await apply(compacted, *operation)
            if operation[0] != "compact":
                await apply(whole, *operation)

        assert await state(compacted, folder / "compacted") == await state(whole, folder / "whole")
        assert await compacted.compact() == 0
        for jobs in (compacted, whole):
            await jobs.close()

    with tempfile.TemporaryDirectory() as folder:
        asyncio.run(scenario(Path(folder)))


def files_with(text: bytes, folder: Path) -> list[str]:
    """Return the names of the files that hold a text."""
    return [file.name for file in folder.iterdir() if text in file.read_bytes()]


def test_a_deleted_text_is_in_no_file_any_more(tmp_path: Path) -> None:
    """Neither in the journal nor in its log, and the file is smaller."""

    async def scenario() -> None:
        path = tmp_path / "jobs.sqlite"
        jobs = SqliteJobs(path)
        job = await jobs.submit("books", [Document(f"d-{n}", DELETED_TEXT * 50) for n in range(300)], None)
        await jobs.advance(job.id, 300, [])
        await jobs.complete(job.id)
        kept = await jobs.submit("films", [Document("d-1", "kept")], None)
        await jobs.record(Change("delete_collection", "books"))
        before = await jobs.size_bytes()

        assert await jobs.compact() == 300

        assert await jobs.size_bytes() < before / 4
        assert [document.text for document in await jobs.documents(kept.id, 0, 10)] == ["kept"]
        # Still open: closing it would remove the log.
        found.extend(files_with(DELETED_TEXT.encode(), tmp_path))
        await jobs.close()

    found: list[str] = []
    asyncio.run(scenario())
    assert found == []
