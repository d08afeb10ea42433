"""The requests and assertions that the contract tests share."""

from __future__ import annotations

import base64
import math
import struct
import time
import uuid
from collections.abc import Sequence
from typing import Any, Protocol

import httpx

Vector = Sequence[float]
Json = dict[str, Any]

ERROR_TYPES = {
    400: "invalid_request_error",
    401: "authentication_error",
    404: "not_found_error",
    405: "invalid_request_error",
    409: "invalid_request_error",
    413: "invalid_request_error",
    415: "invalid_request_error",
    429: "rate_limit_error",
    500: "server_error",
    502: "server_error",
    503: "server_error",
    504: "server_error",
}
JOB_S = 120.0


class Server(Protocol):
    """The server under test, from the fixture `target`."""

    @property
    def url(self) -> str:
        """Base URL of the server."""

    @property
    def metrics_url(self) -> str:
        """URL of the metrics of the process that runs the model."""


# A small manual: one passage has the code E4471, nearly all have the word "water".
PASSAGES = {
    "pump": "The pump shows code E4471 when its filter is blocked by lime.",
    "boiler": "The boiler shows a warning light when the water pressure falls.",
    "filter": "Clean the filter of the pump once a month under running water.",
    "garden": "Tomatoes want sun, and water in the morning.",
    "coffee": "The machine shows a red light while the water heats for coffee.",
    "river": "The river carries more water in spring than in autumn.",
}


def make_unique(words: str = "text") -> str:
    """Return `words` with a random suffix, so that no cache knows the text."""
    return f"{words} {uuid.uuid4().hex}"


def cosine(a: Vector, b: Vector) -> float:
    """Return the cosine of the angle between two vectors."""
    return sum(x * y for x, y in zip(a, b, strict=True)) / (norm(a) * norm(b))


def norm(a: Vector) -> float:
    """Return the Euclidean length of a vector."""
    return math.hypot(*a)


def decode_floats(encoded: str) -> list[float]:
    """Decode base64 of little-endian float32, as the OpenAI SDK does."""
    raw = base64.b64decode(encoded, validate=True)
    return list(struct.unpack(f"<{len(raw) // 4}f", raw))


def ok(response: httpx.Response, status: int = 200) -> Json:
    """Return the JSON object of an answer. Fails if its status is not `status`."""
    assert response.status_code == status, f"{response.status_code}: {response.text[:2000]}"
    body = response.json()
    assert isinstance(body, dict)
    return body


def embed(http: httpx.Client, inputs: Any, **options: Any) -> Json:
    """Return the whole answer of `POST /v1/embeddings`."""
    return ok(http.post("/v1/embeddings", json={"input": inputs} | options))


def embed_texts(http: httpx.Client, inputs: Any, **options: Any) -> list[list[float]]:
    """Return the vectors of texts, in the order of the inputs."""
    data = embed(http, inputs, **options)["data"]
    assert [item["index"] for item in data] == list(range(len(data)))
    return [item["embedding"] for item in data]


def embed_text(http: httpx.Client, text: str, **options: Any) -> list[float]:
    """Return the vector of one text."""
    [embedding] = embed_texts(http, text, **options)
    return embedding


def submit(http: httpx.Client, documents: Sequence[Json], key: str | None = None, **fields: Any) -> Json:
    """Return the job that `POST /v1/ingest` answers with 202."""
    headers = {} if key is None else {"Idempotency-Key": key}
    return ok(http.post("/v1/ingest", json={"documents": list(documents)} | fields, headers=headers), 202)


def wait_for_job(http: httpx.Client, job_id: str) -> Json:
    """Wait until a job has ended, and return it. Fails after JOB_S seconds."""
    deadline = time.monotonic() + JOB_S
    while True:
        job = ok(http.get(f"/v1/jobs/{job_id}"))
        if job["status"] in {"completed", "failed", "cancelled"}:
            return job
        assert job["status"] in {"pending", "running"}, job
        assert time.monotonic() < deadline, f"still {job['status']} after {JOB_S} s: {job}"
        time.sleep(0.01)


def ingest(http: httpx.Client, documents: Sequence[Json], **fields: Any) -> Json:
    """Ingest documents, wait for the job, and return it. Fails unless it is completed."""
    job = wait_for_job(http, submit(http, documents, **fields)["job_id"])
    assert job["status"] == "completed", job
    return job


def search(http: httpx.Client, query: str, **fields: Any) -> list[Json]:
    """Return the results of `POST /v1/search`."""
    results = ok(http.post("/v1/search", json={"query": query} | fields))["results"]
    assert isinstance(results, list)
    return results


def post_search(http: httpx.Client, query: str, **options: Any) -> Json:
    """Return the whole answer of a search."""
    return ok(http.post("/v1/search", json={"query": query} | options))


def list_ids(results: Sequence[Json]) -> list[str]:
    """Return the ids of search results, in order."""
    return [result["id"] for result in results]


def assert_error(response: httpx.Response, status: int, code: str | None = None) -> Json:
    """
    Return the `error` of an answer. Fails unless the answer has the contract's error shape.

    The error has four fields. Its message is a sentence that shows nothing of the server's code.
    """
    body = assert_json(response, status)
    assert set(body) == {"error"}
    return assert_error_object(body["error"], status, code)


def assert_json(response: httpx.Response, status: int) -> Json:
    """Return the JSON object of an answer. Fails if its status is not `status`, or if it shows the server's code."""
    assert response.status_code == status, f"{response.status_code}: {response.text[:2000]}"
    assert response.headers["content-type"].split(";")[0] == "application/json"
    for inside in ("Traceback", 'File "', "site-packages", "pydantic"):
        assert inside not in response.text
    body = response.json()
    assert isinstance(body, dict)
    return body


def assert_error_object(error: Json, status: int, code: str | None = None) -> Json:
    """Return an `error`. Fails unless it has its four fields."""
    assert set(error) == {"message", "type", "param", "code"}
    assert isinstance(error["message"], str)
    assert error["message"].strip()
    assert error["type"] == ERROR_TYPES[status]
    assert error["param"] is None or isinstance(error["param"], str)
    assert isinstance(error["code"], str)
    assert code is None or error["code"] == code, error
    return error


def sum_samples(exposition: str, name: str, **labels: str) -> float | None:
    """Return the sum of the samples of a metric with these labels, or None if there are none."""
    values: list[float] = []
    for line in exposition.splitlines():
        head, _, value = line.rpartition(" ")
        if head.partition("{")[0] == name and all(f'{key}="{text}"' in head for key, text in labels.items()):
            values.append(float(value))
    return sum(values) if values else None
