"""How each dialect tells an error: the shapes that clients of other services read."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from tests.contract.wire import Json, assert_error, assert_error_object, assert_told

Shape = Callable[[httpx.Response, int, str | None], Json]

TEI_TYPES = {"Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"}


def detail(response: httpx.Response, status: int, code: str | None = None) -> Json:
    """FastAPI's `detail` as a sentence, and the contract's own `error` beside it; both say the same."""
    body = assert_told(response, status)
    assert set(body) == {"detail", "error"}
    assert body["detail"] == body["error"]["message"]
    return assert_error_object(body["error"], status, code)


def tei(response: httpx.Response, status: int, code: str | None = None) -> Json:
    """`error` is a sentence and `error_type` one of TEI's six words, which stands for the code."""
    body = assert_told(response, status)
    assert set(body) == {"error", "error_type"}
    assert body["error_type"] in TEI_TYPES
    assert code is None or body["error_type"] == code, body
    return _said(body["error"], body["error_type"])


def cohere(response: httpx.Response, status: int, code: str | None = None) -> Json:
    """`message` is a sentence, `id` the request's; there is no code."""
    body = assert_told(response, status)
    assert set(body) == {"id", "message"}
    assert isinstance(body["id"], str)
    assert body["id"]
    assert code is None, "Cohere's errors have no code"
    return _said(body["message"], None)


def _said(message: object, code: str | None) -> Json:
    assert isinstance(message, str)
    assert message.strip()
    return {"message": message, "code": code}


SHAPES: dict[str, Shape] = {"own": assert_error, "detail": detail, "tei": tei, "cohere": cohere}
