"""Answers that a connection writes without the application: errors of the transport, and early rejections."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import NamedTuple

import httptools
import orjson
from starlette.responses import Response

from gateways.core.errors import GatewayError, InvalidRequest

HTTP_2_PREFACE = "Pause on PRI/Upgrade"


class RawAnswer(NamedTuple):
    """An answer as bytes: the status line with some fields, each with its line end, and the body."""

    status_code: int
    head: bytes
    body: bytes

    @classmethod
    def prepare(cls, response: Response) -> RawAnswer:
        """Return a response as bytes."""
        status_line = b"HTTP/1.1 %d %b\r\n" % (response.status_code, HTTPStatus(response.status_code).phrase.encode())
        return cls(response.status_code, status_line + field_lines(response.raw_headers), bytes(response.body))

    def with_field(self, name: bytes, value: bytes) -> RawAnswer:
        """Return the answer with one more field."""
        return RawAnswer(self.status_code, b"%b%b: %b\r\n" % (self.head, name, value), self.body)


class SharedFields:
    """The fields of every answer as bytes. The server replaces its list of them once a second."""

    def __init__(self) -> None:
        self._fields: list[tuple[bytes, bytes]] = []
        self._lines = b""

    def lines(self, fields: list[tuple[bytes, bytes]]) -> bytes:
        """Return the lines of `fields`."""
        if fields is not self._fields:
            self._fields, self._lines = fields, field_lines(fields)
        return self._lines


def field_lines(fields: Iterable[tuple[bytes, bytes]]) -> bytes:
    """Return header fields as they go over the wire."""
    return b"".join(b"%b: %b\r\n" % field for field in fields)


def serialize_error(error: GatewayError) -> bytes:
    """Return the answer of an error, after which the connection is closed."""
    body = orjson.dumps(error.body())
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        *((name.lower().encode(), value.encode()) for name, value in error.headers().items()),
        (b"connection", b"close"),
    ]
    phrase = HTTPStatus(error.status).phrase.encode()
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (error.status, phrase, field_lines(headers), body)


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
