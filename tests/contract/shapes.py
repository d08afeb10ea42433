"""The error shape of each dialect, as the clients of other services read it."""

from __future__ import annotations

from collections.abc import Callable

import httpx

from tests.contract.client import Json, assert_error, assert_error_object, assert_json

Shape = Callable[[httpx.Response, int, str | None], Json]

TEI_TYPES = {"Unhealthy", "Backend", "Overloaded", "Validation", "Tokenizer", "Empty"}


def assert_detail(response: httpx.Response, status: int, code: str | None = None) -> Json:
    """Return the contract's `error`. Fails unless FastAPI's `detail` beside it has the same message."""
    body = assert_json(response, status)
    assert set(body) == {"detail", "error"}
    assert body["detail"] == body["error"]["message"]
    return assert_error_object(body["error"], status, code)


def assert_tei(response: httpx.Response, status: int, code: str | None = None) -> Json:
    """Return TEI's error. Fails unless `error` is a sentence and `error_type`, the code, is in TEI_TYPES."""
    body = assert_json(response, status)
    assert set(body) == {"error", "error_type"}
    assert body["error_type"] in TEI_TYPES
    assert code is None or body["error_type"] == code, body
    return _check_message(body["error"], body["error_type"])


def assert_cohere(response: httpx.Response, status: int, code: str | None = None) -> Json:
    """Return Cohere's error, which has no code. Fails unless `message` is a sentence and `id` is there."""
    body = assert_json(response, status)
    assert set(body) == {"id", "message"}
    assert isinstance(body["id"], str)
    assert body["id"]
    assert code is None, "Cohere's errors have no code"
    return _check_message(body["message"], None)


def _check_message(message: object, code: str | None) -> Json:
    assert isinstance(message, str)
    assert message.strip()
    return {"message": message, "code": code}


SHAPES: dict[str, Shape] = {"own": assert_error, "detail": assert_detail, "tei": assert_tei, "cohere": assert_cohere}
