"""The answers of requests that are refused from their headers: prepared once, and counted without a task."""

from __future__ import annotations

from typing import TypeAlias

from starlette.types import Scope

from gateways.core.errors import GatewayError
from gateways.core.http.json_route import JsonRoute
from gateways.core.http.raw_answers import RawAnswer
from gateways.core.http.request_headers import headers_by_name
from gateways.core.observability.request_observer import RequestObserver

# Waits are told in tenths of a second, so that an overload has few different messages. Others are forgotten.
MAX_PREPARED = 256

# The identity of the route, and what the answer tells: message, code and Retry-After.
_Content: TypeAlias = tuple[int, str, str, int | None]


class Refusals:
    """The answers to refused requests. Under overload most requests get one of a few."""

    def __init__(self) -> None:
        self._prepared: dict[_Content, RawAnswer] = {}

    def answer(self, route: JsonRoute, error: GatewayError, scope: Scope) -> RawAnswer:
        """Return the answer to a refused request, and count it."""
        with RequestObserver(scope, headers_by_name(scope).get(b"x-request-id", b"")) as observer:
            prepared = self._prepare(route, error)
            observer.route, observer.status = route.path, prepared.status_code
        return prepared.with_field(b"x-request-id", observer.request_id)

    def _prepare(self, route: JsonRoute, error: GatewayError) -> RawAnswer:
        content = id(route), error.message, error.code, error.retry_after_s
        prepared = self._prepared.get(content)
        if prepared is None:
            prepared = RawAnswer.prepare(route.error_response(error))
            if route.equal_errors:
                if len(self._prepared) >= MAX_PREPARED:
                    self._prepared.clear()
                self._prepared[content] = prepared
        return prepared
