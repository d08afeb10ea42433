"""A client that ingests, and then holds the server to what its 202 promised."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import httpx

from tests.support.gateways import Gateway, wait_until

JOB_S = 180.0
PER_REQUEST = 100


class Client:
    """One client of one gateway."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def submit(self, texts: Mapping[str, str]) -> list[str]:
        """Ingest texts by id, some per request; the ids of the jobs. Returns right after the last 202."""
        documents = [{"id": name, "text": text} for name, text in texts.items()]
        jobs = []
        for start in range(0, len(documents), PER_REQUEST):
            response = self.http.post("/v1/ingest", json={"documents": documents[start : start + PER_REQUEST]})
            assert response.status_code == 202, response.text
            jobs.append(response.json()["job_id"])
        return jobs

    def job(self, job_id: str) -> dict[str, Any]:
        """A job as it stands."""
        response = self.http.get(f"/v1/jobs/{job_id}")
        assert response.status_code == 200, response.text
        job: dict[str, Any] = response.json()
        return job

    def completed(self, jobs: list[str]) -> None:
        """Wait until every job is completed, with every document processed and no error."""
        for job_id in jobs:
            wait_until(partial(self._ended, job_id), JOB_S, f"the end of job {job_id}")
            job = self.job(job_id)
            assert job["status"] == "completed", job
            assert job["processed_documents"] == job["total_documents"]
            assert (job["error"], job["errors"]) == (None, [])

    def _ended(self, job_id: str) -> bool:
        return self.job(job_id)["finished_at"] is not None

    def search(self, query: str, top_k: int) -> list[str]:
        """The ids found, best first."""
        response = self.http.post("/v1/search", json={"query": query, "top_k": top_k})
        assert response.status_code == 200, response.text
        return [result["id"] for result in response.json()["results"]]

    def holds_exactly(self, texts: Mapping[str, str]) -> None:
        """Every document is there, with its text, found by it, and none is there twice."""
        assert self.http.get("/healthz").json()["document_count"] == len(texts)
        everything = self.search("anything at all", 1000)
        assert len(everything) == min(len(texts), 1000)
        assert len(set(everything)) == len(everything)
        for name, text in texts.items():
            assert self.http.get(f"/v1/documents/{name}").json()["text"] == text
            assert self.search(text, 1) == [name]


@contextmanager
def client_of(gateway: Gateway) -> Iterator[Client]:
    """Yield a client of a gateway that runs."""
    with gateway.client() as http:
        yield Client(http)
