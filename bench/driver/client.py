"""The default HTTP client: an asyncio protocol on httptools; requests are serialised before the window opens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import httptools


@dataclass
class Answer:
    """Status, body, and the time of the last byte (perf_counter_ns)."""

    status: int
    body: bytes
    done_ns: int


def authority(host: str, port: int) -> str:
    """Return `host:port` as a URL and the header Host have it, an IPv6 address in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class Client:
    """One keep-alive connection, which reconnects after the server closed it."""

    def __init__(self, host: str, port: int, headers: Mapping[str, str]) -> None:
        self._host, self._port = host, port
        self._headers = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        self._connection: Connection | None = None

    def serialise(self, path: str, body: bytes) -> bytes:
        """Return the bytes of a whole request."""
        head = (
            f"POST {path} HTTP/1.1\r\nhost: {authority(self._host, self._port)}\r\ncontent-type: application/json\r\n"
            f"accept: application/json\r\n{self._headers}content-length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body

    async def connect(self) -> None:
        """Open the connection unless it is open."""
        if self._connection is None or self._connection.closed:
            loop = asyncio.get_running_loop()
            _, self._connection = await loop.create_connection(Connection, self._host, self._port)

    async def send(self, request: bytes) -> Answer:
        """Send one serialised request and return its whole answer. Raises OSError if the connection breaks."""
        await self.connect()
        assert self._connection is not None  # noqa: S101  (connect sets it)
        return await self._connection.send(request)

    async def close(self) -> None:
        """Close the connection."""
        if self._connection is not None:
            self._connection.close()


class Connection(asyncio.Protocol):
    """An HTTP connection with one request at a time; the `on_` methods are callbacks of httptools."""

    def __init__(self) -> None:
        self.closed = False
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[Answer] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._chunks: list[bytes] = []

    def send(self, request: bytes) -> asyncio.Future[Answer]:
        """Write a request; return the future of its whole answer."""
        if self._transport is None or self.closed:
            raise ConnectionResetError("connection closed")
        self._waiter = asyncio.get_running_loop().create_future()
        self._chunks = []
        self._transport.write(request)
        return self._waiter

    def close(self) -> None:
        """Close the transport."""
        self.closed = True
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is open."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes arrived."""
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
            self.close()
            self._fail(ConnectionError(f"not HTTP: {error}"))

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the server closed, or the network broke."""
        self.closed = True
        self._fail(exc if isinstance(exc, OSError) else ConnectionResetError("closed before the answer was whole"))

    def on_body(self, body: bytes) -> None:
        """httptools: a piece of the body."""
        self._chunks.append(body)

    def on_message_complete(self) -> None:
        """httptools: the answer is complete."""
        done_ns = time.perf_counter_ns()
        status = self._parser.get_status_code()
        if status < 200:  # an interim response, as proxies send them: the answer follows
            return
        answer = Answer(status, b"".join(self._chunks), done_ns)
        if not self._parser.should_keep_alive():
            self.close()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(answer)

    def _fail(self, error: Exception) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)
