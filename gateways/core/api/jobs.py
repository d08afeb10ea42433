"""`/v1/jobs`: the progress of ingest jobs."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Any

from fastapi import APIRouter, Response

from gateways.core.api.collection_fields import PAGE_SIZE
from gateways.core.errors import NotFound
from gateways.core.gateway import Gateway
from gateways.core.http.json_route import JsonRoute, json_response
from gateways.core.http.schemas import Strict
from gateways.core.jobs.base import Job, Status


class JobAnswer(Strict):
    """A job; times are ISO 8601 in UTC. `error` is why it failed, or why it waits if it is unfinished."""

    job_id: str
    status: Status
    collection: str
    total_documents: int
    processed_documents: int
    error: str | None
    errors: list[dict[str, Any]]
    created_at: str
    started_at: str | None
    finished_at: str | None


def router(gateway: Gateway) -> APIRouter:
    """Return the routes over `gateway`."""
    routes = APIRouter(route_class=JsonRoute, tags=["documents"])

    @routes.get("/v1/jobs")
    async def jobs(limit: PAGE_SIZE = 100, status: Status | None = None, after: str | None = None) -> Response:
        """List the newest jobs first, of one status or of all. `next` is the `after` of the next page."""
        if after is not None and await gateway.ingest.job(after) is None:
            raise NotFound(f"after: there is no job {after!r}.", param="after", code="unknown_job")
        recent = await gateway.ingest.recent(limit + 1, status, after)
        last = recent[limit - 1].id if len(recent) > limit else None
        return json_response({"object": "list", "data": [job_body(job) for job in recent[:limit]], "next": last})

    @routes.get("/v1/jobs/{job_id}", response_model=JobAnswer)
    async def one_job(job_id: str) -> Response:
        """Return a job with its progress."""
        return _job_response(job_id, await gateway.ingest.job(job_id))

    @routes.delete("/v1/jobs/{job_id}", response_model=JobAnswer)
    async def cancel_job(job_id: str) -> Response:
        """Cancel a job. A running job stops after its current step; documents that are stored already stay."""
        return _job_response(job_id, await gateway.ingest.cancel(job_id))

    @routes.post("/v1/jobs/{job_id}/retry", response_model=JobAnswer, status_code=202)
    async def retry_job(job_id: str) -> Response:
        """
        Try a failed job again, from the document at which it failed.

        Documents that were deleted, or replaced by a later job, since it was accepted stay as they are.
        """
        return _job_response(job_id, await gateway.ingest.retry(job_id), 202)

    return routes


def job_body(job: Job) -> dict[str, Any]:
    """Return the fields of JobAnswer."""
    return {
        "job_id": job.id,
        "status": job.status,
        "collection": job.collection,
        "total_documents": job.total_documents,
        "processed_documents": job.processed_documents,
        "error": job.error,
        "errors": [dataclasses.asdict(error) for error in job.errors],
        "created_at": _iso_time(job.created_at),
        "started_at": _iso_time(job.started_at),
        "finished_at": _iso_time(job.finished_at),
    }


def _job_response(job_id: str, job: Job | None, status: int = 200) -> Response:
    if job is None:
        raise NotFound(f"there is no job {job_id!r}.", param="job_id", code="unknown_job")
    return json_response(job_body(job), status)


def _iso_time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
