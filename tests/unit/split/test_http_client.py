"""The HTTP client of the thin gateway, on a real socket: every response goes to the request that asked for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest

from gateways.split.gateway.http_client import (
    BrokenConnection,
    Client,
    NoConnection,
    ResponseTooLarge,
    response_limit_bytes,
)

Script = Callable[[int], tuple[bytes, bytes]]
Scenario = Callable[[Client, asyncio.Semaphore], Awaitable[None]]
EARLY_HINTS = b"HTTP/1.1 103 Early Hints\r\nLink: </style.css>\r\nRetry-After: 7\r\n\r\n"


def ok(text: str) -> bytes:
    """Return a complete response."""
    body = text.encode()
    return b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


def serve(script: Script, scenario: Scenario) -> int:
    """
    Run `scenario` with a client, and a semaphore that is released for each connection that the client closes.

    Request n gets both parts of `script(n)`, with a pause between them. Returns the number of connections.
    """
    connections = requests = 0
    closed = asyncio.Semaphore(0)
    handlers: list[asyncio.Task[None] | None] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections, requests
        connections += 1
        handlers.append(asyncio.current_task())
        try:
            while True:
                await reader.readuntil(b"\r\n\r\n")
                first, second = script(requests)
                requests += 1
                writer.write(first)
                await writer.drain()
                await asyncio.sleep(0.05)
                writer.write(second)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            closed.release()
        finally:
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    async def run() -> None:
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        client = Client(f"http://127.0.0.1:{port}", {})
        try:
            await scenario(client, closed)
        finally:
            client.close()
            await asyncio.gather(*filter(None, handlers))
            server.close()
            await server.wait_closed()

    asyncio.run(asyncio.wait_for(run(), 30))
    return connections


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    "interim", [b"HTTP/1.1 100 Continue\r\n\r\n", b"HTTP/1.1 102 Processing\r\n\r\n", EARLY_HINTS]
)
def test_an_interim_response_is_no_answer(interim: bytes, at_once: bool) -> None:
    """Each request gets its own final response, on one connection."""

    def script(number: int) -> tuple[bytes, bytes]:
        final = ok(f"answer {number}")
        return (2 * interim + final, b"") if at_once else (interim, final)

    async def scenario(client: Client, _: asyncio.Semaphore) -> None:
        for number in range(3):
            response = await client.get("x", 20)
            assert (response.status, response.body) == (200, f"answer {number}".encode())
            assert response.retry_after_s is None

    assert serve(script, scenario) == 1


@pytest.mark.parametrize("at_once", [True, False])
def test_a_response_that_nobody_asked_for_closes_the_connection(at_once: bool) -> None:
    """The next request opens another connection, and gets its own answer."""

    def script(number: int) -> tuple[bytes, bytes]:
        answer, surplus = ok(f"answer {number}"), ok("of somebody else")
        return (answer + surplus, b"") if at_once else (answer, surplus)

    async def scenario(client: Client, closed: asyncio.Semaphore) -> None:
        for number in range(3):
            assert (await client.get("x", 20)).body == f"answer {number}".encode()
            await closed.acquire()

    assert serve(script, scenario) == 3


def test_an_upgrade_that_nobody_asked_for_is_an_error() -> None:
    """It is reported at once, not after the timeout."""

    def script(_: int) -> tuple[bytes, bytes]:
        return b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", b""

    async def scenario(client: Client, _: asyncio.Semaphore) -> None:
        with pytest.raises(ConnectionError, match="not HTTP"):
            await client.get("x", 20)

    serve(script, scenario)


@pytest.mark.parametrize("announced", [True, False])
def test_an_answer_over_the_limit_ends_the_call_and_the_connection(announced: bool) -> None:
    """By its Content-Length at the headers, else while it streams, so a wrong upstream does not fill the memory."""
    piece = bytes(1 << 20)
    limit_bytes = response_limit_bytes(0)
    sent = 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        framing = b"Content-Length: %d" % (1 << 50) if announced else b"Transfer-Encoding: chunked"
        writer.write(b"HTTP/1.1 200 OK\r\n%s\r\n\r\n" % framing)
        with suppress(ConnectionError):
            while sent < 4 * limit_bytes:
                writer.write(piece if announced else b"%x\r\n%s\r\n" % (len(piece), piece))
                await writer.drain()
                sent += len(piece)
        writer.close()

    async def run() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            client = Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", {})
            with pytest.raises(ResponseTooLarge, match=f"more than the {limit_bytes} bytes"):
                await client.get("x", 20)

    asyncio.run(asyncio.wait_for(run(), 30))
    assert sent < (limit_bytes if announced else 2 * limit_bytes)


def test_the_limit_of_an_answer_admits_the_token_vectors_of_long_requests() -> None:
    """In binary, 2,048 texts of 512 tokens in 384 dimensions, and 256 short texts in 4,096 dimensions."""
    assert response_limit_bytes(2_048 * 1_500) >= 2_048 * 512 * 384 * 4
    assert response_limit_bytes(256 * 100) >= 256 * 25 * 4_096 * 4
    assert response_limit_bytes(100) < 100 << 20


class Breaking:
    """A server that answers GET /well, and breaks the connection of each GET /ill after a part of the answer."""

    def __init__(self, part: bytes) -> None:
        self.part = part
        self.ill = 0
        self._together = asyncio.Barrier(3)

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve one connection."""
        with suppress(asyncio.IncompleteReadError):
            while b" /well " in await reader.readuntil(b"\r\n\r\n"):
                await self._together.wait()
                writer.write(ok("well"))
            self.ill += 1
            writer.write(self.part)
        writer.close()

    async def run(self, scenario: Callable[[Client], Awaitable[None]]) -> None:
        """Run `scenario` with a client that has three idle connections."""
        async with await asyncio.start_server(self.answer, "127.0.0.1", 0) as server:
            self.server = server
            client = Client(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", {})
            await asyncio.gather(*(client.get("well", 20) for _ in range(3)))
            await scenario(client)
            client.close()


@pytest.mark.parametrize(("part", "sent"), [(b"", 2), (b"HTTP/1.1 200 OK\r\n", 1)])
def test_a_request_that_breaks_connections_is_not_sent_on_all_of_them(part: bytes, sent: int) -> None:
    """An idle connection may have been closed: once more on a new one. After a byte of the answer: never again."""

    async def run() -> None:
        server = Breaking(part)

        async def scenario(client: Client) -> None:
            with pytest.raises(BrokenConnection):
                await client.get("ill", 20)

        await server.run(scenario)
        assert server.ill == sent

    asyncio.run(asyncio.wait_for(run(), 20))


def test_a_server_that_is_gone_after_a_request_broke() -> None:
    """The request may be why: the error tells of the break, not of the connection that was refused after it."""

    async def run() -> None:
        server = Breaking(b"")

        async def scenario(client: Client) -> None:
            server.server.close()  # no new connections
            with pytest.raises(BrokenConnection):
                await client.get("ill", 20)
            with pytest.raises(NoConnection):
                await client.get("ill", 20)

        await server.run(scenario)
        assert server.ill == 1

    asyncio.run(asyncio.wait_for(run(), 20))
