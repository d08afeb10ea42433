"""`GET /v1/jobs`: what became of an ingest."""

from __future__ import annotations

import httpx
import pytest

from tests.contract.wire import assert_error, finished, ok, submit, unique

pytestmark = pytest.mark.requires("ingest", "jobs")


def test_jobs_are_listed_the_newest_first(http: httpx.Client, collection: str) -> None:
    """The list begins with what was submitted last, each entry as `/v1/jobs/{id}` shows it."""
    submitted = [submit(http, [{"text": unique()}], collection=collection)["job_id"] for _ in range(3)]
    jobs = [finished(http, job_id) for job_id in submitted]

    listed = ok(http.get("/v1/jobs"))

    assert listed["object"] == "list"
    assert listed["data"][:3] == jobs[::-1]


def test_the_list_may_be_limited(http: httpx.Client, collection: str) -> None:
    """`limit` keeps the newest ones."""
    jobs = [finished(http, submit(http, [{"text": unique()}], collection=collection)["job_id"]) for _ in range(3)]

    assert ok(http.get("/v1/jobs", params={"limit": 2}))["data"] == jobs[:0:-1]


def test_a_job_keeps_its_answer(http: httpx.Client, collection: str) -> None:
    """A finished job does not change when it is read again."""
    job = finished(http, submit(http, [{"text": unique()}], collection=collection)["job_id"])

    assert ok(http.get(f"/v1/jobs/{job['job_id']}")) == job


@pytest.mark.parametrize("job_id", ["no-such-job", "00000000-0000-0000-0000-000000000000", "1", "%00", "a%2Fb"])
def test_an_unknown_job_is_not_found(http: httpx.Client, job_id: str) -> None:
    """404 for whatever is not a job's id."""
    assert_error(http.get(f"/v1/jobs/{job_id}"), 404)


def test_an_unknown_job_is_named(http: httpx.Client) -> None:
    """The message repeats the id that was asked for."""
    assert "no-such-job" in assert_error(http.get("/v1/jobs/no-such-job"), 404, "unknown_job")["message"]
