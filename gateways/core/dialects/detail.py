"""How services made with FastAPI tell an error, and the clients written for them read it."""

from __future__ import annotations

from fastapi import Response
from pydantic import BaseModel

from gateways.core.api.body import JsonRoute, json_response
from gateways.core.errors import GatewayError


class DetailAnswer(BaseModel):
    """The body of every error."""

    detail: str
    error: dict[str, str | None]


class DetailRoute(JsonRoute):
    """Errors are `{"detail"}`, a sentence, with the contract's own `error` beside it; the status is the same."""

    def error_response(self, error: GatewayError) -> Response:
        """Tell both readers."""
        return detailed(error)


def detailed(error: GatewayError) -> Response:
    """Return an error for both readers."""
    return json_response({"detail": error.message} | error.body(), error.status, error.headers())
