"""`GET /v1/jobs`: what became of an ingest."""

from __future__ import annotations

import time

import httpx
import pytest

from tests.contract.wire import Json, assert_error, finished, ids, ingest, ok, search, submit, unique

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


MANY = 10_000


def many(part: str) -> list[Json]:
    """Return documents that take any gateway a while."""
    return [{"id": f"{part}-{n}", "text": f"{part} {n}"} for n in range(MANY)]


def running(http: httpx.Client, job_id: str) -> Json:
    """Wait until a job has done something, and return it."""
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
    """The job ends between two steps: what it counts is in the collection, and it is never completed."""
    job = running(http, submit(http, many("x"), collection=collection)["job_id"])
    assert job["status"] == "running"

    answer = cancel(http, job["job_id"])
    # Jobs take turns: once a later one is completed, this one has stopped.
    ingest(http, [{"text": unique()}], collection=f"{collection}-b")

    assert answer["status"] == "cancelled"
    assert answer["finished_at"] is not None
    stopped = ok(http.get(f"/v1/jobs/{job['job_id']}"))
    assert stopped["status"] == "cancelled"
    assert job["processed_documents"] <= stopped["processed_documents"] < MANY
    held = ok(http.get(f"/v1/collections/{collection}"))["document_count"]
    assert held == stopped["processed_documents"]
    assert ids(search(http, "x 0", collection=collection, top_k=1, filter={})) != []


@pytest.mark.requires("cancel")
def test_a_pending_job_never_runs(http: httpx.Client, collection: str) -> None:
    """Cancelled before its turn, it has processed nothing, and its collection is not made."""
    ahead = submit(http, many("y"), collection=collection)["job_id"]
    waiting = submit(http, [{"text": unique()}], collection=f"{collection}-b")["job_id"]

    answer = cancel(http, waiting)
    cancel(http, ahead)
    ingest(http, [{"text": unique()}], collection=f"{collection}-c")

    assert (answer["status"], answer["processed_documents"], answer["started_at"]) == ("cancelled", 0, None)
    assert ok(http.get(f"/v1/jobs/{waiting}")) == answer
    searched = http.post("/v1/search", json={"query": "anything", "collection": f"{collection}-b"})
    assert_error(searched, 404, "unknown_collection")


@pytest.mark.requires("cancel")
def test_a_finished_job_cannot_be_cancelled(http: httpx.Client, collection: str) -> None:
    """409 says what it is already; cancelling twice is no different."""
    done = finished(http, submit(http, [{"text": unique()}], collection=collection)["job_id"])

    error = assert_error(http.delete(f"/v1/jobs/{done['job_id']}"), 409, "job_finished")

    assert "completed" in error["message"]
    assert ok(http.get(f"/v1/jobs/{done['job_id']}")) == done
    dropped = submit(http, many("z"), collection=collection)["job_id"]
    cancel(http, dropped)
    assert "cancelled" in assert_error(http.delete(f"/v1/jobs/{dropped}"), 409, "job_finished")["message"]


@pytest.mark.requires("cancel")
def test_an_unknown_job_cannot_be_cancelled(http: httpx.Client) -> None:
    """404, naming it."""
    assert "no-such-job" in assert_error(http.delete("/v1/jobs/no-such-job"), 404, "unknown_job")["message"]


@pytest.mark.requires("cancel")
def test_jobs_are_listed_by_status(http: httpx.Client, collection: str) -> None:
    """Each list has jobs of that status only, the newest first."""
    done = ingest(http, [{"text": unique()}], collection=collection)
    ahead = submit(http, many("w"), collection=collection)["job_id"]
    waiting = submit(http, [{"text": unique()}], collection=collection)["job_id"]

    pending = ok(http.get("/v1/jobs", params={"status": "pending"}))["data"]
    cancelled = [cancel(http, job_id)["job_id"] for job_id in (waiting, ahead)]  # or it would not wait any more

    assert pending[0]["job_id"] == waiting
    listed = ok(http.get("/v1/jobs", params={"status": "cancelled"}))["data"]
    assert [job["job_id"] for job in listed[:2]] == cancelled
    completed = ok(http.get("/v1/jobs", params={"status": "completed", "limit": 1}))["data"]
    assert completed == [done]
    for status in ("completed", "failed", "cancelled"):
        jobs = ok(http.get("/v1/jobs", params={"status": status}))["data"]
        assert {job["status"] for job in jobs} <= {status}
