"""
The wrong requests that clients can send. They are data, in `invalid/*.json`.

A file has defaults and `cases`. A case has `name`, `method`, `path`, `headers`, and `body`, `raw` or `raw_base64`.
Its `expect` has the status, and optionally the `code`, the `param` (also null) and parts of the message.
`shape` names the error shape of a dialect (`shapes.py`). Without it the errors have the contract's shape.
Long values have short forms: {"$text": s, "times": n}, {"$list": x, "times": n}, {"$join": [...]} and
{"$nest": key, "times": n, "inside": x}.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.client import assert_error, ok
from tests.contract.shapes import SHAPES

Case = dict[str, Any]


def read_cases() -> list[Any]:
    """Return every case of every file, with the defaults of the file."""
    parameters = []
    for file in sorted((Path(__file__).parent / "invalid").glob("*.json")):
        defaults = json.loads(file.read_text())
        for case in defaults.pop("cases"):
            full_case = defaults | case
            marks = [pytest.mark.requires(*full_case["requires"])] if full_case["requires"] else []
            parameters.append(pytest.param(full_case, id=f"{file.stem}-{case['name']}", marks=marks))
    return parameters


def expand(value: Any) -> Any:
    """Return a value with the short forms of long values written out."""
    if isinstance(value, list):
        return [expand(item) for item in value]
    if not isinstance(value, dict):
        return value
    if "$text" in value:
        return value["$text"] * value["times"]
    if "$list" in value:
        return [value["$list"]] * value["times"]
    if "$join" in value:
        return "".join(expand(value["$join"]))
    if "$nest" in value:
        inside = value["inside"]
        for _ in range(value["times"]):
            inside = {value["$nest"]: inside}
        return inside
    return {key: expand(item) for key, item in value.items()}


def encode_body(case: Case) -> bytes:
    """Return the body of the request."""
    if "raw_base64" in case:
        return base64.b64decode(case["raw_base64"])
    if "raw" in case:
        raw: str = expand(case["raw"])
        return raw.encode()
    return json.dumps(expand(case["body"])).encode() if "body" in case else b""


def send(http: httpx.Client, case: Case) -> httpx.Response:
    """Send the request of a case."""
    headers = {"Content-Type": "application/json"} | expand(case.get("headers", {}))
    return http.request(case["method"], case["path"], content=encode_body(case), headers=headers)


@pytest.mark.parametrize("case", read_cases())
def test_what_is_wrong_is_told(http: httpx.Client, case: Case) -> None:
    """The answer has the right status and code, names the wrong field, and says which value would be right."""
    expected = case["expect"]

    error = SHAPES[case.get("shape", "own")](send(http, case), expected["status"], expected.get("code"))

    if "param" in expected:
        assert error["param"] == expected["param"], error
    for part in expected.get("message_contains", []):
        assert part in error["message"]


@pytest.mark.requires("embeddings")
def test_a_body_over_the_limit(http: httpx.Client) -> None:
    """A body of 33 MiB is refused, with and without Content-Length."""
    body = b'{"input": "' + b"x" * (33 << 20) + b'"}'
    headers = {"Content-Type": "application/json"}

    response_to_length = http.post("/v1/embeddings", content=body, headers=headers)
    response_to_stream = http.post(
        "/v1/embeddings", content=(part for part in (body[: 1 << 24], body[1 << 24 :])), headers=headers
    )

    for response in (response_to_length, response_to_stream):
        assert "32" in assert_error(response, 413, "body_too_large")["message"]


@pytest.mark.requires("embeddings")
def test_a_wrong_method_names_the_right_ones(http: httpx.Client) -> None:
    """A 405 has the header `Allow`, as HTTP requires."""
    response = http.get("/v1/embeddings")

    assert_error(response, 405, "method_not_allowed")
    assert "POST" in response.headers["allow"]


@pytest.mark.requires("health", "embeddings")
def test_the_server_is_well_after_all_that(http: httpx.Client) -> None:
    """After all wrong requests the server is healthy and answers."""
    assert ok(http.get("/healthz"))["status"] == "ok"
    assert ok(http.post("/v1/embeddings", json={"input": "still there?"}))["data"]
