"""Ingest through the thin gateway, with documents that kill the embed service and with restarts that blame none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from gateways.core.jobs.base import Document, Job
from gateways.core.settings import UpstreamSettings
from gateways.split.gateway.remote_backend import RemoteBackend
from tests.support.embed_service import EmbedService
from tests.unit.core.ingest.pipeline import Pipeline, numbered

DEADLINE_S = 10.0
POLL_S = 0.01


async def finish(ingest: Pipeline, documents: Sequence[Document]) -> Job:
    """Return a job of documents after it ended."""
    job = await ingest.submit(documents)
    working = asyncio.create_task(ingest.worker(flush_every_s=0.01).run())
    try:
        async with asyncio.timeout(DEADLINE_S):
            while True:
                status = await ingest.jobs.status(job.id)
                assert status is not None
                if status.status not in ("pending", "running"):
                    return status
                await asyncio.sleep(POLL_S)
    finally:
        working.cancel()
        with suppress(asyncio.CancelledError):
            await working


@asynccontextmanager
async def serving(folder: Path, *services: EmbedService) -> AsyncIterator[Pipeline]:
    """Yield an ingest pipeline in front of embed services."""
    settings = UpstreamSettings(embedding_api_url=",".join(service.url for service in services))
    async with RemoteBackend(settings) as backend:
        yield Pipeline(folder, backend)


@pytest.mark.parametrize("replicas", [1, 2])
def test_a_document_that_kills_the_service_is_listed(tmp_path: Path, replicas: int) -> None:
    """The job completes without it, and every other document is stored."""

    async def scenario() -> None:
        async with EmbedService() as first, EmbedService() as second:
            services = (first, second)[:replicas]
            first.deadly = second.deadly = {b"guilty"}
            async with serving(tmp_path, *services) as ingest:
                documents = [*numbered(3), Document("bad", "the guilty one"), Document("last", "innocent")]
                status = await finish(ingest, documents)

                assert (status.status, status.processed_documents) == ("completed", 5)
                [fault] = status.errors
                assert fault.document_id == "bad"
                assert "died" in fault.message
                assert ingest.store.count() == 4

    asyncio.run(scenario())


def test_restarts_list_no_document(tmp_path: Path) -> None:
    """Calls of several jobs break, each of them once: all documents are stored."""

    async def scenario() -> None:
        async with EmbedService() as service, serving(tmp_path, service) as ingest:
            for number in range(3):
                service.go_on.clear()
                service.arrivals = asyncio.Semaphore(0)
                finishing = asyncio.create_task(finish(ingest, [Document(f"d-{number}", f"text {number}")]))
                await service.arrivals.acquire()
                service.die()
                service.go_on.set()
                status = await finishing
                assert (status.status, status.errors) == ("completed", ())
            assert service.deaths == 3
            assert ingest.store.count() == 3

    asyncio.run(scenario())
