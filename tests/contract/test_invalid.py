"""
Everything a client can get wrong, as data: `invalid/*.json`.

A file has defaults and `cases`; a case has `name`, `method`, `path`, `headers`, one of `body`, `raw`, `raw_base64`,
and what to `expect`: the status, and where stated the `code`, the `param` (null is stated too), parts of the message.
`shape` names whose errors these are (`shapes.py`); without it they are the contract's own.
Long values are written short: {"$text": s, "times": n}, {"$list": x, "times": n}, {"$join": [...]} and
{"$nest": key, "times": n, "inside": x}.
"""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.contract.shapes import SHAPES
from tests.contract.wire import assert_error, ok

Case = dict[str, Any]


def cases() -> list[Any]:
    """Read every case of every file, its file's defaults filled in."""
    found = []
    for file in sorted((Path(__file__).parent / "invalid").glob("*.json")):
        defaults = json.loads(file.read_text())
        for case in defaults.pop("cases"):
            whole = defaults | case
            marks = [pytest.mark.requires(*whole["requires"])] if whole["requires"] else []
            found.append(pytest.param(whole, id=f"{file.stem}-{case['name']}", marks=marks))
    return found


def expand(value: Any) -> Any:
    """Write out the short forms of long values."""
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


def content(case: Case) -> bytes:
    """Return the body of the request."""
    if "raw_base64" in case:
        return base64.b64decode(case["raw_base64"])
    if "raw" in case:
        raw: str = expand(case["raw"])
        return raw.encode()
    return json.dumps(expand(case["body"])).encode() if "body" in case else b""


def send(http: httpx.Client, case: Case) -> httpx.Response:
    """Send a case's request."""
    headers = {"Content-Type": "application/json"} | expand(case.get("headers", {}))
    return http.request(case["method"], case["path"], content=content(case), headers=headers)


@pytest.mark.parametrize("case", cases())
def test_what_is_wrong_is_told(http: httpx.Client, case: Case) -> None:
    """The right status and code, the place of the mistake, and a message that says what would be right."""
    expected = case["expect"]

    error = SHAPES[case.get("shape", "own")](send(http, case), expected["status"], expected.get("code"))

    if "param" in expected:
        assert error["param"] == expected["param"], error
    for part in expected.get("message_contains", []):
        assert part in error["message"]


@pytest.mark.requires("embeddings")
def test_a_body_over_the_limit(http: httpx.Client) -> None:
    """33 MiB are refused, whether their length is announced or not."""
    body = b'{"input": "' + b"x" * (33 << 20) + b'"}'
    headers = {"Content-Type": "application/json"}

    announced = http.post("/v1/embeddings", content=body, headers=headers)
    streamed = http.post(
        "/v1/embeddings", content=(part for part in (body[: 1 << 24], body[1 << 24 :])), headers=headers
    )

    for response in (announced, streamed):
        assert "32" in assert_error(response, 413, "body_too_large")["message"]


@pytest.mark.requires("embeddings")
def test_a_wrong_method_names_the_right_ones(http: httpx.Client) -> None:
    """405 carries `Allow`, as HTTP asks."""
    response = http.get("/v1/embeddings")

    assert_error(response, 405, "method_not_allowed")
    assert "POST" in response.headers["allow"]


@pytest.mark.requires("health", "embeddings")
def test_the_server_is_well_after_all_that(http: httpx.Client) -> None:
    """No wrong request leaves anything broken: it is healthy and still answers."""
    assert ok(http.get("/healthz"))["status"] == "ok"
    assert ok(http.post("/v1/embeddings", json={"input": "still there?"}))["data"]
