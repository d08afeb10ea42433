"""Text Embeddings Inference answers a wrong request with a client error. All errors have one shape."""

from __future__ import annotations

from typing import Any

import httpx
import pytest

from tests.conformance.client import Case, Tei, assert_refused, assert_same, summarise_response

TYPES = {"unhealthy", "backend", "overloaded", "validation", "tokenizer", "empty"}
WRONG = [
    Case("no `inputs`", {}),
    Case("`inputs: null`", {"inputs": None}),
    Case("an empty list", {"inputs": []}),
    Case("an empty string", {"inputs": ""}),
    Case("a list with an empty string", {"inputs": ["one", ""]}),
    Case("a number", {"inputs": 5}),
    Case("a list with null", {"inputs": ["one", None]}),
    Case("token ids beyond the vocabulary", {"inputs": [[99_999_999]]}),
    Case('`truncate: "yes"`', {"inputs": "x", "truncate": "yes"}),
    Case('`truncation_direction: "Up"`', {"inputs": "x", "truncation_direction": "Up"}),
    Case("an unknown `prompt_name`", {"inputs": "x", "prompt_name": "no-such-prompt"}),
    Case("more dimensions than the model has", {"inputs": "x", "dimensions": 1_000_000}),
    Case("NaN instead of a text", {}, b'{"inputs": NaN}'),
    Case("JSON that is cut off", {}, b'{"inputs": "x"'),
    Case("an empty body", {}, b""),
    Case("bytes that are not UTF-8", {}, b'{"inputs": "caf\xe9"}'),
    Case("a list instead of an object", {}, b'["x"]'),
]


def send(tei: Tei, case: Case, path: str = "/embed") -> httpx.Response:
    """Send a wrong request and close its connection, because a broken connection would fail the next test too."""
    headers = {"Content-Type": "application/json", "Connection": "close"}
    if case.content is None:
        return tei.http.post(f"{tei.base}{path}", json=case.body, headers=headers)
    return tei.http.post(f"{tei.base}{path}", content=case.content, headers=headers)


def assert_error(response: httpx.Response, status: int, kind: str) -> None:
    """Fail unless an answer is `{"error", "error_type"}` with this status and this error type."""
    assert response.status_code == status, summarise_response(response)
    try:
        error = response.json()
        message, error_type = error["error"], error["error_type"].lower()
    except (ValueError, TypeError, KeyError):
        pytest.fail(summarise_response(response), pytrace=False)
    assert isinstance(message, str), summarise_response(response)
    assert message, summarise_response(response)
    assert error_type in TYPES, summarise_response(response)
    assert error_type == kind, summarise_response(response)


@pytest.mark.parametrize("case", WRONG, ids=lambda case: case.name)
def test_refused(tei: Tei, case: Case) -> None:
    """`/embed` with CASE → 4xx."""
    response = tei.skip_absent(send(tei, case), "POST /embed") if case.body else send(tei, case)

    assert_refused(response)


def test_empty_list(tei: Tei) -> None:
    """An empty list → 400, `error_type` Empty."""
    assert_error(tei.post("/embed", inputs=[]), 400, "empty")


def test_too_long(tei: Tei) -> None:
    """`truncate: false` with a text that is too long → 413, `error_type` Validation."""
    assert_error(tei.post("/embed", inputs="word " * 20_000, truncate=False), 413, "validation")


@pytest.mark.parametrize("path", ["/embed", "/embed_all", "/embed_sparse", "/tokenize"])
def test_too_many_inputs(tei: Tei, path: str) -> None:
    """`PATH` with more than `max_client_batch_size` inputs → 413, `error_type` Validation."""
    inputs = ["x"] * (tei.get_info()["max_client_batch_size"] + 1)

    assert_error(tei.post(path, inputs=inputs), 413, "validation")


def test_too_many_texts(tei: Tei) -> None:
    """`/rerank` with more than `max_client_batch_size` texts → 413, `error_type` Validation."""
    texts = ["x"] * (tei.get_info()["max_client_batch_size"] + 1)

    assert_error(tei.post("/rerank", query="q", texts=texts), 413, "validation")


@pytest.mark.parametrize(
    ("path", "body"),
    [
        pytest.param("/rerank", {"query": "q"}, id="no texts"),
        pytest.param("/rerank", {"query": "q", "texts": []}, id="empty texts"),
        pytest.param("/tokenize", {}, id="nothing to tokenize"),
        pytest.param("/embed_all", {}, id="nothing to embed"),
    ],
)
def test_refused_elsewhere(tei: Tei, path: str, body: dict[str, Any]) -> None:
    """`PATH` with `BODY` → 4xx."""
    assert_refused(tei.post(path, **body))


def test_unknown_route(tei: Tei) -> None:
    """An unknown route → 404."""
    response = tei.http.get(f"{tei.base}/no-such-route")

    assert response.status_code == 404, summarise_response(response)


def test_wrong_method(tei: Tei) -> None:
    """`GET /embed` → 405."""
    response = tei.http.get(f"{tei.base}/embed")

    assert response.status_code == 405, summarise_response(response)


def test_well_after_all_that(tei: Tei) -> None:
    """After all wrong requests the server answers as before."""
    [before] = tei.get_vectors("still there?")
    for case in WRONG:
        send(tei, case)

    assert_same(tei.get_vectors("still there?")[0], before)
