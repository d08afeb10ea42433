"""Workers of a job queue, and the jobs that they claim."""

from __future__ import annotations

import asyncio

import pytest

from gateways.core.jobs.base import Document, Job, JobQueue
from gateways.core.jobs.postgres import PostgresJobs
from gateways.core.persistence.postgres import Database

DOCUMENTS = [Document("a", "one\0two"), Document("b\0", "two", {"n": 1, "nul": "\0"})]
LEASE_S = 0.6


async def open_worker(url: str, lease_s: float = 60.0) -> PostgresJobs:
    """Return one more worker of the queue in a database."""
    jobs = PostgresJobs(Database(url), lease_s)
    await jobs.open()
    return jobs


async def claim_one(jobs: JobQueue, collection: str = "books") -> Job:
    """Return a new job of DOCUMENTS, claimed."""
    await jobs.submit(collection, DOCUMENTS, None)
    return await jobs.claim() or pytest.fail("nothing to claim")


async def take_over(jobs: JobQueue) -> Job:
    """Return the job of a worker whose lease expires."""
    async with asyncio.timeout(50 * LEASE_S):
        while True:
            if job := await jobs.claim():
                return job
            await asyncio.sleep(LEASE_S / 10)
