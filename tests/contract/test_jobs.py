"""`GET /v1/jobs` lists ingest jobs with their status, `DELETE /v1/jobs/{id}` cancels a job."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.contract.client import Json, assert_error, ingest, list_ids, make_unique, ok, search, submit, wait_for_job

pytestmark = pytest.mark.requires("ingest", "jobs")


def test_jobs_are_listed_the_newest_first(http: httpx.Client, collection: str) -> None:
    """The list begins with the newest job. Each entry is the answer of `GET /v1/jobs/{id}`."""
    job_ids = [submit(http, [{"text": make_unique()}], collection=collection)["job_id"] for _ in range(3)]
    jobs = [wait_for_job(http, job_id) for job_id in job_ids]

    answer = ok(http.get("/v1/jobs"))

    assert answer["object"] == "list"
    assert answer["data"][:3] == jobs[::-1]


def test_the_list_may_be_limited(http: httpx.Client, collection: str) -> None:
    """`limit` keeps the newest jobs."""
    jobs = [
        wait_for_job(http, submit(http, [{"text": make_unique()}], collection=collection)["job_id"]) for _ in range(3)
    ]

    assert ok(http.get("/v1/jobs", params={"limit": 2}))["data"] == jobs[:0:-1]


def test_a_job_keeps_its_answer(http: httpx.Client, collection: str) -> None:
    """A finished job does not change when it is read again."""
    job = wait_for_job(http, submit(http, [{"text": make_unique()}], collection=collection)["job_id"])

    assert ok(http.get(f"/v1/jobs/{job['job_id']}")) == job


@pytest.mark.parametrize("job_id", ["no-such-job", "00000000-0000-0000-0000-000000000000", "1", "%00", "a%2Fb"])
def test_an_unknown_job_is_not_found(http: httpx.Client, job_id: str) -> None:
    """A string that is not the id of a job is a 404."""
    assert_error(http.get(f"/v1/jobs/{job_id}"), 404)


def test_an_unknown_job_is_named(http: httpx.Client) -> None:
    """The message repeats the id of the unknown job."""
    assert "no-such-job" in assert_error(http.get("/v1/jobs/no-such-job"), 404, "unknown_job")["message"]


MANY = 10_000


def make_documents(part: str) -> list[Json]:
    """Return so many documents that any gateway needs a while for them."""
    return [{"id": f"{part}-{n}", "text": f"{part} {n}"} for n in range(MANY)]


def wait_for_progress(http: httpx.Client, job_id: str) -> Json:
    """Wait until a job has processed a document, and return it. Fails after 60 s."""
    deadline = time.monotonic() + 60
    while (job := ok(http.get(f"/v1/jobs/{job_id}")))["processed_documents"] == 0:
        assert time.monotonic() < deadline, job
        time.sleep(0.01)
    return job


def cancel(http: httpx.Client, job_id: str) -> Json:
    """Return the answer of `DELETE /v1/jobs/{id}`."""
    return ok(http.delete(f"/v1/jobs/{job_id}"))


@pytest.mark.requires("cancel", "search", "collections")
def test_a_running_job_stops_and_what_is_in_stays(http: httpx.Client, collection: str) -> None:
    """A cancelled job ends between two steps. The documents that it counts are in the collection."""
    job = wait_for_progress(http, submit(http, make_documents("x"), collection=collection)["job_id"])
    assert job["status"] == "running"

    answer = cancel(http, job["job_id"])
    # Jobs run one after the other, so the cancelled job has stopped when a later one is completed.
    ingest(http, [{"text": make_unique()}], collection=f"{collection}-b")

    assert answer["status"] == "cancelled"
    assert answer["finished_at"] is not None
    cancelled_job = ok(http.get(f"/v1/jobs/{job['job_id']}"))
    assert cancelled_job["status"] == "cancelled"
    assert job["processed_documents"] <= cancelled_job["processed_documents"] < MANY
    document_count = ok(http.get(f"/v1/collections/{collection}"))["document_count"]
    assert document_count == cancelled_job["processed_documents"]
    assert list_ids(search(http, "x 0", collection=collection, top_k=1, filter={})) != []


@pytest.mark.requires("cancel")
def test_a_pending_job_never_runs(http: httpx.Client, collection: str) -> None:
    """A job that is cancelled while pending has processed nothing, and its collection is not created."""
    running_id = submit(http, make_documents("y"), collection=collection)["job_id"]
    pending_id = submit(http, [{"text": make_unique()}], collection=f"{collection}-b")["job_id"]

    answer = cancel(http, pending_id)
    cancel(http, running_id)
    ingest(http, [{"text": make_unique()}], collection=f"{collection}-c")

    assert (answer["status"], answer["processed_documents"], answer["started_at"]) == ("cancelled", 0, None)
    assert ok(http.get(f"/v1/jobs/{pending_id}")) == answer
    response = http.post("/v1/search", json={"query": "anything", "collection": f"{collection}-b"})
    assert_error(response, 404, "unknown_collection")


@pytest.mark.requires("cancel")
def test_a_finished_job_cannot_be_cancelled(http: httpx.Client, collection: str) -> None:
    """Cancelling a completed or cancelled job is a 409 that names its status."""
    job = wait_for_job(http, submit(http, [{"text": make_unique()}], collection=collection)["job_id"])

    error = assert_error(http.delete(f"/v1/jobs/{job['job_id']}"), 409, "job_finished")

    assert "completed" in error["message"]
    assert ok(http.get(f"/v1/jobs/{job['job_id']}")) == job
    cancelled_id = submit(http, make_documents("z"), collection=collection)["job_id"]
    cancel(http, cancelled_id)
    assert "cancelled" in assert_error(http.delete(f"/v1/jobs/{cancelled_id}"), 409, "job_finished")["message"]


@pytest.mark.requires("cancel")
def test_only_a_failed_job_can_be_tried_again(http: httpx.Client, collection: str) -> None:
    """A job that completed is a 409 that names its status, an unknown one a 404 that names its id."""
    job = wait_for_job(http, submit(http, [{"text": make_unique()}], collection=collection)["job_id"])

    error = assert_error(http.post(f"/v1/jobs/{job['job_id']}/retry"), 409, "job_not_failed")

    assert "completed" in error["message"]
    assert ok(http.get(f"/v1/jobs/{job['job_id']}")) == job
    assert "no-such-job" in assert_error(http.post("/v1/jobs/no-such-job/retry"), 404, "unknown_job")["message"]


@pytest.mark.requires("cancel")
def test_an_unknown_job_cannot_be_cancelled(http: httpx.Client) -> None:
    """Cancelling an unknown job is a 404 that names its id."""
    assert "no-such-job" in assert_error(http.delete("/v1/jobs/no-such-job"), 404, "unknown_job")["message"]


@pytest.mark.requires("cancel")
def test_jobs_are_listed_by_status(http: httpx.Client, collection: str) -> None:
    """The list has only jobs with the requested status, the newest first."""
    completed_job = ingest(http, [{"text": make_unique()}], collection=collection)
    running_id = submit(http, make_documents("w"), collection=collection)["job_id"]
    pending_id = submit(http, [{"text": make_unique()}], collection=collection)["job_id"]

    pending_jobs = ok(http.get("/v1/jobs", params={"status": "pending"}))["data"]
    # The pending job is cancelled first, because it would run as soon as the running one has ended.
    cancelled_ids = [cancel(http, job_id)["job_id"] for job_id in (pending_id, running_id)]

    assert pending_jobs[0]["job_id"] == pending_id
    cancelled_jobs = ok(http.get("/v1/jobs", params={"status": "cancelled"}))["data"]
    assert [job["job_id"] for job in cancelled_jobs[:2]] == cancelled_ids
    completed_jobs = ok(http.get("/v1/jobs", params={"status": "completed", "limit": 1}))["data"]
    assert completed_jobs == [completed_job]
    for status in ("completed", "failed", "cancelled"):
        jobs = ok(http.get("/v1/jobs", params={"status": status}))["data"]
        assert {job["status"] for job in jobs} <= {status}


def test_jobs_are_listed_page_by_page(http: httpx.Client, collection: str) -> None:
    """Each page begins after the last job of the one before, and the last page has no next one."""
    ids = [ingest(http, [{"text": f"page {n}"}], collection=collection)["job_id"] for n in range(3)]

    listed: list[str] = []
    after = None
    while ids[0] not in listed:
        page = ok(http.get("/v1/jobs", params={"limit": 2} | ({"after": after} if after else {})))
        assert len(page["data"]) <= 2
        listed += [job["job_id"] for job in page["data"]]
        after = page["next"]

    assert [job_id for job_id in listed if job_id in ids] == ids[::-1]
    assert len(listed) == len(set(listed))
    error = assert_error(http.get("/v1/jobs", params={"after": "no-such"}), 404, "unknown_job")
    assert error["param"] == "after"
