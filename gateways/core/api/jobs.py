"""`/v1/jobs`: what became of an ingest."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime
from typing import Annotated, Any

from fastapi import APIRouter, Query, Response

from gateways.core.api.body import JsonRoute, Strict, json_response
from gateways.core.errors import NotFound
from gateways.core.gateway import Gateway
from gateways.core.jobs.base import Job, Status


class JobAnswer(Strict):
    """A job; times are ISO 8601 in UTC."""

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
    async def jobs(limit: Annotated[int, Query(ge=1, le=1_000)] = 100, status: Status | None = None) -> Response:
        """List the newest jobs first: all of them, or those of one status."""
        found = await gateway.jobs.recent(limit, status)
        return json_response({"object": "list", "data": [described(job) for job in found]})

    @routes.get("/v1/jobs/{job_id}", response_model=JobAnswer)
    async def one_job(job_id: str) -> Response:
        """Tell how far a job is."""
        return _answer(job_id, await gateway.jobs.status(job_id))

    @routes.delete("/v1/jobs/{job_id}", response_model=JobAnswer)
    async def cancel_job(job_id: str) -> Response:
        """Cancel a job: a pending one never runs, a running one stops after its step, and what is in stays."""
        return _answer(job_id, await gateway.cancel(job_id))

    return routes


def described(job: Job) -> dict[str, Any]:
    """Return a job as clients see it."""
    return {
        "job_id": job.id,
        "status": job.status,
        "collection": job.collection,
        "total_documents": job.total_documents,
        "processed_documents": job.processed_documents,
        "error": job.error,
        "errors": [dataclasses.asdict(error) for error in job.errors],
        "created_at": _time(job.created_at),
        "started_at": _time(job.started_at),
        "finished_at": _time(job.finished_at),
    }


def _answer(job_id: str, job: Job | None) -> Response:
    if job is None:
        raise NotFound(f"there is no job {job_id!r}.", param="job_id", code="unknown_job")
    return json_response(described(job))


def _time(seconds: float | None) -> str | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, UTC).isoformat()
