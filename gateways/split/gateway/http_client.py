"""
A small HTTP/1.1 client: a pool of keep-alive connections to one server, one request at a time on each.

A client library would take a tenth of the thin gateway's memory. httptools, which the server needs too, parses.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import httptools

from gateways.core.observability import logs, tracing

IDLE_CONNECTIONS = 8
# A host that is down does not refuse a connection, so the attempt needs a timeout.
CONNECT_TIMEOUT_S = 2.0
# Limits of a response. The first part holds lists of models, scores and sparse vectors. Most of the rest are vectors
# of tokens: a token for each byte of the request, in 4,096 dimensions of 4 bytes. 2,048 texts of 512 tokens in 384
# dimensions are 1.6 GB, and nothing legal is much larger.
RESPONSE_BYTES, RESPONSE_BYTES_PER_REQUEST_BYTE, MAX_RESPONSE_BYTES = 64 << 20, 4_096 * 4, 2 << 30


@dataclass(frozen=True, slots=True)
class Response:
    """A response. `retry_after_s` is its Retry-After, `serving` the media type's parameter of that name."""

    status: int
    body: bytes
    retry_after_s: int | None = None
    serving: str = ""


class NoConnection(ConnectionError):
    """No connection could be opened, so the request was not sent."""


class BrokenConnection(ConnectionError):
    """A connection broke after the request was sent, and before the response was complete."""


class ResponseTooLarge(Exception):
    """The server sends more than a legal response has. The connection is closed."""


def response_limit_bytes(request_bytes: int) -> int:
    """Return the maximum size of a response, headers included, to a request with a body of `request_bytes`."""
    return min(RESPONSE_BYTES + RESPONSE_BYTES_PER_REQUEST_BYTE * request_bytes, MAX_RESPONSE_BYTES)


class Client:
    """
    POST and GET below one base URL.

    Raises NoConnection, BrokenConnection, ConnectionError if the response is not HTTP, ResponseTooLarge, and
    TimeoutError after `timeout_s`. A request is sent twice at most: on a connection that was idle, and on a new one
    if the idle one ended before a byte of the response.
    """

    def __init__(self, base_url: str, headers: dict[str, str]) -> None:
        url = urlsplit(base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"EMBEDDING_API_URL={base_url}: must look like http://host:port")
        self._host, self._tls = url.hostname, url.scheme == "https"
        self._port = url.port or (443 if self._tls else 80)
        self._path = url.path.rstrip("/")
        self.name = url.netloc.rpartition("@")[2]
        self._headers = {"Host": self.name, **headers}
        self._idle: list[_Connection] = []

    async def get(self, path: str, timeout_s: float) -> Response:
        """Return the response to a GET of `path`."""
        async with asyncio.timeout(timeout_s):
            return await self._send("GET", path, b"", {})

    async def post(self, path: str, body: bytes, headers: dict[str, str], timeout_s: float) -> Response:
        """Return the response to a POST. It must be idempotent, as it may be sent twice."""
        async with asyncio.timeout(timeout_s):
            return await self._send("POST", path, body, headers)

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    async def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Response:
        lines = [f"{method} {self._path}/{path} HTTP/1.1", f"Content-Length: {len(body)}"]
        context = logs.fields() | tracing.fields()
        lines += [f"{name}: {value}" for name, value in (self._headers | headers | context).items()]
        raw = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
        limit_bytes = response_limit_bytes(len(body))
        if idle := self._take_idle():
            try:
                return await self._exchange(idle, raw, limit_bytes)
            except BrokenConnection as error:
                if idle.received_bytes:
                    raise
                connection = await self._replace_idle(error)
        else:
            connection = await self._connect()
        return await self._exchange(connection, raw, limit_bytes)

    def _take_idle(self) -> _Connection | None:
        """Return the connection that was used last of those that the server keeps, None if there is none."""
        while self._idle:
            connection = self._idle.pop()
            if connection.reusable:
                return connection
            connection.close()
        return None

    async def _replace_idle(self, error: BrokenConnection) -> _Connection:
        """Return a new connection instead of one that the server probably closed while it was idle."""
        self.close()  # the other ones are as old
        try:
            return await self._connect()
        except NoConnection:
            raise error from None  # the server is gone, and the request may be why

    async def _exchange(self, connection: _Connection, raw: bytes, limit_bytes: int) -> Response:
        try:
            response = await connection.request(raw, limit_bytes)
        except BaseException:
            connection.close()
            raise
        if connection.reusable and len(self._idle) < IDLE_CONNECTIONS:
            self._idle.append(connection)
        else:
            connection.close()
        return response

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_TIMEOUT_S):
                _, connection = await loop.create_connection(
                    _Connection, self._host, self._port, ssl=self._tls or None
                )
        except TimeoutError:
            raise NoConnection(f"no connection to {self.name} within {CONNECT_TIMEOUT_S:g} s") from None
        except OSError as error:
            raise NoConnection(str(error)) from error
        return connection


class _Connection(asyncio.Protocol):
    """One connection. httptools calls the methods on_*."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is not a subclass
        self._response: asyncio.Future[Response] | None = None
        self.reusable = True

    def close(self) -> None:
        """Close without waiting for a response."""
        self.reusable = False
        self._transport.close()

    async def request(self, raw: bytes, limit_bytes: int) -> Response:
        """Send one request and return its response. Raises what `Client` does."""
        self.received_bytes = 0
        if not self.reusable:
            raise NoConnection("the connection is closed")
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._retry_after_s: int | None = None
        self._serving = ""
        self._limit_bytes = limit_bytes
        self._response = asyncio.get_running_loop().create_future()
        self._transport.write(raw)
        return await self._response

    def data_received(self, data: bytes) -> None:
        if self._response is None:
            self.close()  # bytes that no request asked for would be read as the next response
            return
        self.received_bytes += len(data)
        self._check_size(self.received_bytes)
        if self._response.done():
            return
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self._fail(ConnectionError(f"the answer is not HTTP: {error}"))

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(BrokenConnection(f"the connection was closed before the answer was complete: {error}"))

    def on_message_begin(self) -> None:
        if self._response is None:
            self.reusable = False  # a second response to one request

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after" and value.isdigit():  # the date form is not supported
            self._retry_after_s = int(value)
        elif name.lower() == b"content-type":
            self._serving = value.partition(b";serving=")[2].decode("latin-1")
        elif name.lower() == b"content-length" and value.isdigit():
            self._check_size(int(value))

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        status = self._parser.get_status_code()
        if 100 <= status < 200:  # an interim response of the service or of a proxy: the final one follows
            self._retry_after_s, self._serving = None, ""
            return
        self.reusable = self.reusable and self._parser.should_keep_alive()
        # An idle connection must not keep its last response: one with token vectors has megabytes.
        response, self._response = self._response, None
        body, self._body = b"".join(self._body), []
        if response and not response.done():
            response.set_result(Response(status, body, self._retry_after_s, self._serving))

    def _check_size(self, size_bytes: int) -> None:
        if size_bytes > self._limit_bytes:
            self._fail(ResponseTooLarge(f"a response has more than the {self._limit_bytes} bytes that it may have"))

    def _fail(self, error: Exception) -> None:
        self.close()
        if self._response and not self._response.done():
            self._response.set_exception(error)
