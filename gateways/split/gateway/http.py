"""
A small HTTP/1.1 client: keep-alive connections to one server, one request at a time on each.

A client library would be a tenth of the thin gateway's memory; parsing is left to httptools, which is there anyway.
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import cast
from urllib.parse import urlsplit

import httptools

from gateways.core import logs, tracing

IDLE_CONNECTIONS = 8
# A host that is gone answers nothing at all.
CONNECT_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Status and body of a response, the seconds to wait where it tells them, and `serving` of its media type."""

    status: int
    body: bytes
    retry_after_s: int | None = None
    serving: str = ""


class Client:
    """POST and GET below one base URL; every failure of the connection is an OSError, lateness a TimeoutError."""

    def __init__(self, base_url: str, headers: dict[str, str], timeout_s: float) -> None:
        url = urlsplit(base_url)
        if url.scheme not in ("http", "https") or not url.hostname:
            raise ValueError(f"EMBEDDING_API_URL={base_url}: must look like http://host:port")
        self._host, self._tls = url.hostname, url.scheme == "https"
        self._port = url.port or (443 if self._tls else 80)
        self._path = url.path.rstrip("/")
        self.name = url.netloc.rpartition("@")[2]
        self._headers = {"Host": self.name, **headers}
        self._timeout_s = timeout_s
        self._idle: list[_Connection] = []

    async def get(self, path: str) -> Answer:
        """Fetch one path."""
        return await self._send("GET", path, b"", {})

    async def post(self, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        """Send a body; it may be sent twice when a kept connection turns out closed, so it must be idempotent."""
        return await self._send("POST", path, body, headers)

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    async def _send(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> Answer:
        lines = [f"{method} {self._path}/{path} HTTP/1.1", f"Content-Length: {len(body)}"]
        about = logs.fields() | tracing.fields()
        lines += [f"{name}: {value}" for name, value in (self._headers | headers | about).items()]
        raw = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body
        async with asyncio.timeout(self._timeout_s):
            while self._idle:
                try:
                    return await self._exchange(self._idle.pop(), raw)
                except ConnectionError:
                    continue  # closed by the server while it was idle
            return await self._exchange(await self._connect(), raw)

    async def _exchange(self, connection: _Connection, raw: bytes) -> Answer:
        try:
            answer = await connection.request(raw)
        except BaseException:
            connection.close()
            raise
        if connection.reusable and len(self._idle) < IDLE_CONNECTIONS:
            self._idle.append(connection)
        else:
            connection.close()
        return answer

    async def _connect(self) -> _Connection:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(CONNECT_TIMEOUT_S):
            _, connection = await loop.create_connection(_Connection, self._host, self._port, ssl=self._tls or None)
        return connection


class _Connection(asyncio.Protocol):
    """One connection; the methods named on_* are httptools' callbacks."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's own class is not a subclass
        self._answered: asyncio.Future[Answer] | None = None
        self.reusable = True

    def close(self) -> None:
        """Close at once."""
        self.reusable = False
        self._transport.close()

    async def request(self, raw: bytes) -> Answer:
        """Send one request and wait for its response. Raises ConnectionError."""
        if not self.reusable:
            raise ConnectionResetError("the connection is closed")
        self._parser = httptools.HttpResponseParser(self)
        self._body: list[bytes] = []
        self._retry_after_s: int | None = None
        self._serving = ""
        self._answered = asyncio.get_running_loop().create_future()
        self._transport.write(raw)
        return await self._answered

    def data_received(self, data: bytes) -> None:
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError as error:
            self._fail(ConnectionError(f"the answer is not HTTP: {error}"))

    def connection_lost(self, error: Exception | None) -> None:
        self._fail(ConnectionResetError(f"the connection was closed before the answer was complete: {error}"))

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"retry-after" and value.isdigit():  # a date is as good as nothing
            self._retry_after_s = int(value)
        elif name.lower() == b"content-type":
            self._serving = value.partition(b";serving=")[2].decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        self.reusable = self.reusable and self._parser.should_keep_alive()
        # An idle connection holds on to nothing: an answer with the vectors of tokens is megabytes.
        answered, self._answered = self._answered, None
        body, self._body = b"".join(self._body), []
        if answered and not answered.done():
            answered.set_result(Answer(self._parser.get_status_code(), body, self._retry_after_s, self._serving))

    def _fail(self, error: ConnectionError) -> None:
        self.reusable = False
        if self._answered and not self._answered.done():
            self._answered.set_exception(error)
