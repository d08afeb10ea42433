"""The headers of a request by name."""

from __future__ import annotations

from collections.abc import Mapping

from starlette.types import Scope

# The client's own deadline in milliseconds.
TIMEOUT_HEADER = b"x-request-timeout-ms"
_BY_NAME = "gateways.headers"


def headers_by_name(scope: Scope) -> Mapping[bytes, bytes]:
    """Return the headers of a request by lower-case name, the first of each name. The list is read once."""
    by_name: Mapping[bytes, bytes] | None = scope.get(_BY_NAME)
    if by_name is None:
        by_name = scope[_BY_NAME] = dict(reversed(scope["headers"]))
    return by_name


def without_header(scope: Scope, unwanted: bytes) -> Scope:
    """Return the scope of a request without a header."""
    if unwanted not in headers_by_name(scope):
        return scope
    headers = [(name, value) for name, value in scope["headers"] if name != unwanted]
    return {**scope, "headers": headers, _BY_NAME: None}
