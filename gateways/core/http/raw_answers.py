"""Answers that a connection writes without the application: errors of the transport, and early rejections."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus

import httptools
import orjson

from gateways.core.errors import GatewayError, InvalidRequest

HTTP_2_PREFACE = "Pause on PRI/Upgrade"


def serialize(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bytes:
    """Return an answer as it goes over the wire."""
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (status, HTTPStatus(status).phrase.encode(), lines, body)


def serialize_error(error: GatewayError) -> bytes:
    """Return the answer of an error, after which the connection is closed."""
    body = orjson.dumps(error.body())
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        *((name.lower().encode(), value.encode()) for name, value in error.headers().items()),
        (b"connection", b"close"),
    ]
    return serialize(error.status, headers, body)


def invalid_http(error: httptools.HttpParserError) -> InvalidRequest:
    """Return the error of bytes that are no HTTP/1.1."""
    if isinstance(error, httptools.HttpParserInvalidURLError) or isinstance(
        error.__context__, httptools.HttpParserInvalidURLError
    ):
        message = "the path of the request has a byte that is not allowed there; send it percent-encoded, as %C3%BC"
    elif isinstance(error, httptools.HttpParserInvalidMethodError):
        message = "the request begins with no HTTP method; was https or another protocol sent to a port for http?"
    elif str(error) == HTTP_2_PREFACE:
        message = "HTTP/2 is not spoken here; send HTTP/1.1"
    else:
        message = f"the request is not valid HTTP/1.1: {error}"
    return InvalidRequest(message, code="invalid_http")
