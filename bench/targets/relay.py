"""A single-process reverse proxy that forwards requests to a server, or answers them itself."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NamedTuple, cast
from urllib.parse import urlsplit

import httptools

from bench.driver.client import Client, authority


class Request(NamedTuple):
    """A client's request. Of the headers, only the content length is forwarded."""

    method: str
    path: str
    body: bytes

    def raw(self, host: str) -> bytes:
        """Return the bytes of the whole request."""
        head = (
            f"{self.method} {self.path} HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


class Reply(NamedTuple):
    """An answer to a client; always JSON."""

    status: int
    body: bytes

    def raw(self) -> bytes:
        """Return the bytes of the whole answer."""
        head = (
            f"HTTP/1.1 {self.status} -\r\ncontent-type: application/json\r\ncontent-length: {len(self.body)}\r\n\r\n"
        )
        return head.encode() + self.body


Answer = Callable[[Request], Awaitable[Reply]]


class Upstream:
    """The server behind the proxy, with a keep-alive connection per concurrent request."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "", parts.port or 80
        self._free: list[Client] = []

    async def __call__(self, request: Request) -> Reply:
        """Return the server's answer, or a 502 if the connection to it breaks."""
        client = self._free.pop() if self._free else Client(self._host, self._port, {})
        try:
            answer = await client.send(request.raw(authority(self._host, self._port)))
        except OSError as error:
            return Reply(502, f'{{"error": "upstream: {type(error).__name__}"}}'.encode())
        self._free.append(client)
        return Reply(answer.status, answer.body)


class Relay(asyncio.Protocol):
    """One client connection, whose requests are answered in order; the `on_` methods are callbacks of httptools."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._parser = httptools.HttpRequestParser(self)
        self._path, self._pieces = b"", list[bytes]()
        self._task: asyncio.Task[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is open."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """asyncio: the client disconnected; cancel its request."""
        if self._task is not None:
            self._task.cancel()

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes arrived."""
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        """httptools: a request begins."""
        self._path, self._pieces = b"", []

    def on_url(self, url: bytes) -> None:
        """httptools: a piece of the path."""
        self._path += url

    def on_body(self, body: bytes) -> None:
        """httptools: a piece of the body."""
        self._pieces.append(body)

    def on_message_complete(self) -> None:
        """httptools: the request is complete."""
        request = Request(self._parser.get_method().decode(), self._path.decode(), b"".join(self._pieces))
        self._task = asyncio.get_running_loop().create_task(self._reply(request))

    async def _reply(self, request: Request) -> None:
        self._transport.write((await self._answer(request)).raw())


async def serve(port: int, answer: Answer) -> None:
    """Serve on 127.0.0.1 until killed."""
    server = await asyncio.get_running_loop().create_server(lambda: Relay(answer), "127.0.0.1", port)
    await server.serve_forever()
