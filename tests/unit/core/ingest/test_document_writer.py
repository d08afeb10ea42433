"""The document writer: what fails a document, and what fails the service, on a real store and a real journal."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from gateways.core.errors import (
    BackendUnavailable,
    DeadlineExceeded,
    GatewayError,
    InvalidRequest,
    ModelCrashed,
    ModelHung,
    NotFound,
)
from gateways.core.ingest.passages import MAX_PASSAGES
from gateways.core.jobs.base import Document
from gateways.core.profiles import Chunking
from tests.unit.core.ingest.pipeline import FaultyBackend, Pipeline, numbered


@pytest.mark.parametrize(
    "error",
    [
        DeadlineExceeded("too slow"),
        NotFound("no such model", code="unknown_model"),
        ModelHung("hung"),
        InvalidRequest("a wrong route"),
    ],
)
def test_a_service_that_rejects_every_text_loses_no_document(tmp_path: Path, error: GatewayError) -> None:
    """The job waits. Once the service takes a text again, every document is stored and none is listed."""

    async def scenario() -> None:
        backend = FaultyBackend(lambda _: error)
        ingest = Pipeline(tmp_path, backend)
        worker = ingest.worker()
        job = await ingest.submit(numbered(4))
        for _ in range(4):
            await worker.drain()
        waiting = await ingest.jobs.status(job.id)
        assert waiting is not None
        assert waiting.status == "running"
        assert "good text" in (waiting.error or "")

        backend.fault = lambda _: None
        await ingest.finish(worker)

        status = await ingest.jobs.status(job.id)
        assert status is not None
        assert (status.status, status.processed_documents, status.errors) == ("completed", 4, ())
        assert status.error is None
        assert ingest.store.count() == 4

    asyncio.run(scenario())


@pytest.mark.parametrize("error", [DeadlineExceeded("too slow"), ModelHung("hung")])
def test_a_document_that_alone_is_rejected_is_listed(tmp_path: Path, error: GatewayError) -> None:
    """A known good text passes at the same moment, so the fault is the document's."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path, FaultyBackend(lambda texts: error if any("guilty" in t for t in texts) else None))
        job = await ingest.submit([*numbered(3), Document("bad", "the guilty one"), Document("last", "innocent")])

        await ingest.worker().drain()

        status = await ingest.jobs.status(job.id)
        assert status is not None
        assert (status.status, status.processed_documents) == ("completed", 5)
        assert [(fault.position, fault.document_id) for fault in status.errors] == [(3, "bad")]
        assert ingest.store.count() == 4

    asyncio.run(scenario())


def test_a_call_that_takes_too_long_is_halved(tmp_path: Path) -> None:
    """A service that manages three passages within its deadline stores a document of many."""

    async def scenario() -> None:
        calls: list[int] = []

        def fault(texts: Sequence[str]) -> GatewayError | None:
            calls.append(len(texts))
            return DeadlineExceeded("no answer within 60 s") if len(texts) > 3 else None

        ingest = Pipeline(tmp_path, FaultyBackend(fault))
        document = Document("long", " ".join(f"word{n}" for n in range(100)))
        job = await ingest.jobs.submit("default", [document], None, Chunking(max_tokens=2))

        await ingest.worker().drain()

        status = await ingest.jobs.status(job.id)
        assert status is not None
        assert (status.status, status.errors) == ("completed", ())
        assert await ingest.is_stored("long")
        assert sum(size > 3 for size in calls) < len(calls) / 2

    asyncio.run(scenario())


def test_a_document_that_the_model_rejects_is_skipped(tmp_path: Path) -> None:
    """It is listed with the reason; all others of its batch are stored."""

    async def scenario() -> None:
        ingest = Pipeline(tmp_path)
        too_long = Document("long", "a " * (MAX_PASSAGES + 1))
        documents = [*numbered(3), too_long, Document("last", "the last one")]
        job = await ingest.jobs.submit("default", documents, None, Chunking(max_tokens=1))

        await ingest.worker().drain()

        status = await ingest.jobs.status(job.id)
        assert status is not None
        assert (status.status, status.processed_documents) == ("completed", 5)
        [error] = status.errors
        assert (error.position, error.document_id) == (3, "long")
        assert "passages" in error.message
        assert await ingest.is_stored("last")

    asyncio.run(scenario())


def test_a_document_that_kills_the_service_is_listed_once_the_service_is_back(tmp_path: Path) -> None:
    """The known good text waits for the restart. If it did not, the job would start again and kill it for ever."""

    async def scenario() -> None:
        away = deaths = 0

        def fault(texts: Sequence[str]) -> GatewayError | None:
            nonlocal away, deaths
            if away:
                away -= 1
                return BackendUnavailable("the service starts again")
            if any("guilty" in text for text in texts):
                away, deaths = 1, deaths + 1
                return ModelCrashed("died twice")
            return None

        ingest = Pipeline(tmp_path, FaultyBackend(fault))
        job = await ingest.submit([*numbered(2), Document("bad", "the guilty one"), Document("last", "innocent")])

        await ingest.worker().drain()

        status = await ingest.jobs.status(job.id)
        assert status is not None
        assert (status.status, [fault.document_id for fault in status.errors]) == ("completed", ["bad"])
        assert ingest.store.count() == 3
        assert deaths == 3  # all four, it alone, and once more

    asyncio.run(scenario())


def test_a_document_that_hangs_the_model_hangs_it_twice(tmp_path: Path) -> None:
    """Once with its batch and once alone: halving 32 documents would take six threads, and three end the process."""

    async def scenario() -> None:
        hangs = 0

        def fault(texts: Sequence[str]) -> GatewayError | None:
            nonlocal hangs
            hangs += (guilty := any("guilty" in text for text in texts))
            return ModelHung("hung") if guilty else None

        ingest = Pipeline(tmp_path, FaultyBackend(fault))
        documents = [*numbered(20), Document("bad", "the guilty one"), Document("last", "innocent")]
        job = await ingest.submit(documents)

        await ingest.worker().drain()

        status = await ingest.jobs.status(job.id)
        assert status is not None
        assert (status.status, [error.document_id for error in status.errors]) == ("completed", ["bad"])
        assert hangs == 2
        assert ingest.store.count() == 21

    asyncio.run(scenario())


def test_a_restart_remembers_the_batch_that_hung(tmp_path: Path) -> None:
    """The process ends after the first hang: its successor sends the documents of that batch one at a time."""

    async def scenario() -> None:
        calls: list[list[str]] = []
        ingest = Pipeline(tmp_path, FaultyBackend(lambda texts: calls.append([*texts])))
        job = await ingest.submit(numbered(5))
        await ingest.commit.isolate(await ingest.claim(), 3)

        await ingest.worker().drain()

        assert calls == [["document 0 "], ["document 1 "], ["document 2 "], ["document 3 ", "document 4 "]]
        assert await ingest.state(job.id) == ("completed", 5)

    asyncio.run(scenario())
