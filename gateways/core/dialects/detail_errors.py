"""Errors in FastAPI's shape, `{"detail"}`, for clients that were written for such services."""

from __future__ import annotations

from fastapi import Response
from pydantic import BaseModel

from gateways.core.errors import GatewayError
from gateways.core.http.json_route import JsonRoute, json_response


class DetailAnswer(BaseModel):
    """The body of every error."""

    detail: str
    error: dict[str, str | None]


class DetailRoute(JsonRoute):
    """Errors have a sentence in `detail` and the contract's own `error` beside it. The status is the same."""

    def error_response(self, error: GatewayError) -> Response:
        """Return the error with both keys."""
        return detailed(error)


def detailed(error: GatewayError) -> Response:
    """Return the response of an error, with `detail` and `error`."""
    return json_response({"detail": error.message} | error.body(), error.status, error.headers())
