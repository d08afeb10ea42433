"""OpenAI's API answers a wrong request with a client error. All errors have one shape."""

from __future__ import annotations

import json

import httpx
import pytest

from tests.conformance.client import ABSENT, Case, OpenAI, assert_refused, assert_same, summarise_response

WRONG = [
    Case("no `input`", {}),
    Case("`input: null`", {"input": None}),
    Case("an empty list", {"input": []}),
    Case("an empty string", {"input": ""}),
    Case("a list with an empty string", {"input": ["one", ""]}),
    Case("a number", {"input": 5}),
    Case("a list with null", {"input": ["one", None]}),
    Case("text and token ids mixed", {"input": ["one", 2]}),
    Case("a negative token id", {"input": [-1]}),
    Case("token ids beyond the vocabulary", {"input": [99_999_999]}),
    Case('`encoding_format: "hex"`', {"input": "x", "encoding_format": "hex"}),
    Case("`dimensions: 0`", {"input": "x", "dimensions": 0}),
    Case("`dimensions: -1`", {"input": "x", "dimensions": -1}),
    Case("more dimensions than the model has", {"input": "x", "dimensions": 1_000_000}),
    Case("`model: 5`", {"input": "x", "model": 5}),
    Case("NaN instead of a text", {}, b'{"model": MODEL, "input": NaN}'),
    Case("JSON that is cut off", {}, b'{"model": MODEL, "input": "x"'),
    Case("an empty body", {}, b""),
    Case("bytes that are not UTF-8", {}, b'{"model": MODEL, "input": "caf\xe9"}'),
    Case("a list instead of an object", {}, b'["x"]'),
]

# One case of each kind: a field, a list, an option, the whole body.
SHAPED = ("no `input`", "an empty list", '`encoding_format: "hex"`', "JSON that is cut off")


def send(openai: OpenAI, case: Case) -> httpx.Response:
    """Send a wrong request and close its connection, because a broken connection would fail the next test too."""
    content = json.dumps(openai.add_model(case.body)).encode() if case.content is None else case.content
    content = content.replace(b"MODEL", json.dumps(openai.model).encode())
    headers = {"Content-Type": "application/json", "Connection": "close"}
    return openai.http.post(f"{openai.base}/embeddings", content=content, headers=headers)


def assert_error(response: httpx.Response) -> None:
    """Fail unless an answer is `{"error": {"message", "type", "param", "code"}}`."""
    try:
        error = response.json()["error"]
        missing = {"message", "type", "param", "code"} - set(error)
        message = error["message"]
    except (ValueError, TypeError, KeyError):
        pytest.fail(summarise_response(response), pytrace=False)
    assert not missing, f"no {', '.join(sorted(missing))}: {summarise_response(response)}"
    assert isinstance(message, str), summarise_response(response)
    assert message, summarise_response(response)


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.name)
def test_refused(openai: OpenAI, case: Case) -> None:
    """CASE → 4xx."""
    assert_refused(send(openai, case))


@pytest.mark.parametrize("case", [case for case in WRONG if case.name in SHAPED], ids=lambda case: case.name)
def test_shape(openai: OpenAI, case: Case) -> None:
    """CASE → 400 in OpenAI's error shape."""
    response = send(openai, case)

    assert response.status_code == 400, summarise_response(response)
    assert_error(response)


def test_too_many_inputs(openai: OpenAI) -> None:
    """2,049 inputs → 400 or 413 in OpenAI's error shape."""
    response = openai.post(input=["x"] * 2049)
    if response.status_code == 200:
        pytest.skip("2,049 inputs are taken")

    assert response.status_code in {400, 413}, summarise_response(response)
    assert_error(response)


def test_unknown_model(openai: OpenAI) -> None:
    """An unknown model → 404 in OpenAI's error shape."""
    response = openai.post(input="x", model="no-such-model")

    assert response.status_code == 404, summarise_response(response)
    assert_error(response)


def test_unknown_model_described(openai: OpenAI) -> None:
    """`GET /models/{unknown}` → 404 in OpenAI's error shape."""
    response = openai.get("/models/no-such-model")

    assert response.status_code == 404, summarise_response(response)
    assert_error(response)


def test_unknown_route(openai: OpenAI) -> None:
    """An unknown route → 404 in OpenAI's error shape."""
    response = openai.get("/no-such-route")

    assert response.status_code == 404, summarise_response(response)
    assert_error(response)


def test_wrong_method(openai: OpenAI) -> None:
    """`GET /embeddings` → 404 or 405 in OpenAI's error shape."""
    response = openai.get("/embeddings")

    assert response.status_code in ABSENT, summarise_response(response)
    assert_error(response)


def test_well_after_all_that(openai: OpenAI) -> None:
    """After all wrong requests the server answers as before."""
    [before] = openai.get_vectors("still there?")
    for case in WRONG:
        send(openai, case)

    assert_same(openai.get_vectors("still there?")[0], before)
