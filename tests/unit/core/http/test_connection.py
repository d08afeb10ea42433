"""A connection on a real socket, by a time that the test moves: its read timeout, and the order of its answers."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable

import pytest
import uvicorn
from starlette.responses import PlainTextResponse, Response
from starlette.types import Receive, Scope, Send
from uvicorn.server import ServerState

from gateways.core.http.connection import Connection
from gateways.core.http.open_connections import OpenConnections
from gateways.core.http.raw_answers import RawAnswer, SharedFields
from gateways.core.http.refusal_pace import MAX_PAUSE_S, RefusalPace
from gateways.core.http.timed_parser import PART_BYTES
from tests.support.clock import Loop, run_skipping

READ_TIMEOUT_S = 30.0
TOO_SLOW = b"HTTP/1.1 408 "
END = b"<end>"


class Client:
    """The client's end of a connection. The server answers with the path; it rejects paths that begin with `no`."""

    def __init__(self) -> None:
        self.go_on = asyncio.Event()
        self.unread_s: list[float] = []
        self._socket, self._server_socket = socket.socketpair()
        self._socket.setblocking(False)
        self._connection: Connection

    async def connect(self, burst: float = 1e9) -> None:
        """Open the connection to a server that rejects at most `burst` requests at once without a pause."""
        config = uvicorn.Config(self._serve, interface="asgi3", proxy_headers=False, log_config=None)
        options = {"config": config, "server_state": ServerState(), "app_state": {}}
        _, self._connection = await asyncio.get_running_loop().connect_accepted_socket(
            lambda: Connection(
                read_timeout_s=READ_TIMEOUT_S,
                open_connections=OpenConnections(10, 60),
                reject=self._reject,
                shared_fields=SharedFields(),
                pace=RefusalPace(burst),
                **options,
            ),
            self._server_socket,
        )

    def send(self, data: bytes) -> None:
        """Hand bytes to the server, which has parsed them on return."""
        self._connection.data_received(data)

    def write(self, data: bytes) -> None:
        """Send bytes, which the server reads when it likes."""
        self._socket.sendall(data)

    def received(self) -> bytes:
        """Return the bytes that the server has written since the last call."""
        try:
            return self._socket.recv(1 << 20)
        except BlockingIOError:
            return b""

    async def answers(self, count: int) -> list[tuple[int, str]]:
        """Wait for answers. Returns the status and the body of each; fewer than `count` if the connection ends."""
        raw = b""
        while raw.count(END) < count:
            part = await asyncio.get_running_loop().sock_recv(self._socket, 1 << 20)
            if not part:
                break
            raw += part
        matches = re.findall(rb"HTTP/1.1 (\d+) .*?\r\n\r\n(.*?)" + END, raw, re.DOTALL)
        return [(int(status), path.decode()) for status, path in matches]

    def close(self) -> None:
        """Close both ends."""
        self._socket.close()
        self._connection.transport.abort()

    def _reject(self, scope: Scope, unread_s: float) -> RawAnswer | None:
        self.unread_s.append(unread_s)
        return RawAnswer.prepare(_answer(scope, 429)) if _is_rejected(scope) else None

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        await receive()
        await self.go_on.wait()
        answer = _answer(scope, 429 if _is_rejected(scope) else 200)
        await answer(scope, receive, send)


def _answer(scope: Scope, status: int) -> Response:
    return PlainTextResponse(scope["path"].encode() + END, status)


def _is_rejected(scope: Scope) -> bool:
    return bool(scope["path"].startswith("/no"))


def run(scenario: Callable[[Client, Loop], Awaitable[None]], burst: float = 1e9) -> None:
    """Run a scenario with a connection, on a loop whose time stands still; `burst` refusals take no pause."""

    async def connected(loop: Loop) -> None:
        client = Client()
        await client.connect(burst)
        try:
            await scenario(client, loop)
        finally:
            client.close()

    run_skipping(connected)


def post(length: int) -> bytes:
    """Return the head of a request with a body."""
    return b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length


def get(path: str, *fields: str) -> bytes:
    """Return a request without a body, with further header fields."""
    return "\r\n".join([f"GET {path} HTTP/1.1", "Host: a", *fields, "", ""]).encode()


def test_a_request_that_does_not_arrive_in_time_gets_408() -> None:
    """Bytes of it, one now and then, do not extend the time."""

    async def scenario(client: Client, loop: Loop) -> None:
        client.send(post(100))
        await loop.skip(20)
        client.send(b"x")
        await loop.skip(9)
        assert client.received() == b""
        await loop.skip(2)
        assert client.received().startswith(TOO_SLOW)

    run(scenario)


def test_each_mebibyte_of_a_long_body_has_the_whole_time() -> None:
    """A slow upload that goes on is not refused."""

    async def scenario(client: Client, loop: Loop) -> None:
        client.send(post(3 * PART_BYTES))
        for _ in range(3):
            await loop.skip(29)
            assert client.received() == b""
            client.send(b"x" * PART_BYTES)
        client.go_on.set()
        assert await client.answers(1) == [(200, "/upload")]

    run(scenario)


def test_after_a_mebibyte_a_single_byte_does_not_extend_the_time() -> None:
    """A client that sends one MiB, then a byte now and then, holds its connection no longer than others."""

    async def scenario(client: Client, loop: Loop) -> None:
        client.send(post(3 * PART_BYTES) + b"x" * PART_BYTES)
        for _ in range(2):
            await loop.skip(14)
            client.send(b"x")
        assert client.received() == b""
        await loop.skip(3)
        assert client.received().startswith(TOO_SLOW)

    run(scenario)


def test_a_connection_between_two_requests_has_no_read_timeout() -> None:
    """The time begins anew with the next request."""

    async def scenario(client: Client, loop: Loop) -> None:
        client.send(get("/first"))
        await loop.skip(2 * READ_TIMEOUT_S)
        client.go_on.set()
        assert await client.answers(1) == [(200, "/first")]
        client.send(get("/second"))
        assert await client.answers(1) == [(200, "/second")]

    run(scenario)


def test_a_rejected_request_is_answered_at_once() -> None:
    """Without a task, and the connection serves the next one."""

    async def scenario(client: Client, loop: Loop) -> None:
        client.send(get("/no-room"))
        assert client.received().startswith(b"HTTP/1.1 429 ")
        client.go_on.set()
        client.send(get("/again"))
        assert await client.answers(1) == [(200, "/again")]

    run(scenario)


def test_a_connection_is_left_unread_after_too_many_refusals() -> None:
    """What its client sends is neither refused nor lost; it is served once the connection has its turn."""

    async def scenario(client: Client, loop: Loop) -> None:
        client.go_on.set()
        client.send(get("/no-room"))
        assert client.received().startswith(b"HTTP/1.1 429 ")
        client.write(get("/again"))
        await loop.skip(MAX_PAUSE_S - 0.1)
        assert client.received() == b""
        await loop.skip(0.2)
        assert await client.answers(1) == [(200, "/again")]

    run(scenario, burst=0)


def test_what_was_sent_behind_a_refusal_waits_too() -> None:
    """Requests that came in one piece with the refused one keep their order, and are told how long they waited."""

    async def scenario(client: Client, loop: Loop) -> None:
        client.go_on.set()
        client.send(get("/no-room") + get("/no-more") + get("/last"))
        assert await client.answers(1) == [(429, "/no-room")]
        await loop.skip(MAX_PAUSE_S)
        assert await client.answers(1) == [(429, "/no-more")]
        await loop.skip(MAX_PAUSE_S)
        assert await client.answers(1) == [(200, "/last")]
        assert client.unread_s == [0.0, MAX_PAUSE_S, MAX_PAUSE_S]

    run(scenario, burst=0)


def test_a_client_whose_deadline_passed_unread_may_come_again_at_once() -> None:
    """Else a client that was refused once would come late for ever, and free places would stay empty."""

    async def scenario(client: Client, loop: Loop) -> None:
        client.go_on.set()
        client.send(get("/no-room") + get("/no-late", "X-Request-Timeout-Ms: 150") + get("/last"))
        assert await client.answers(1) == [(429, "/no-room")]
        await loop.skip(MAX_PAUSE_S)
        assert await client.answers(2) == [(429, "/no-late"), (200, "/last")]
        assert client.unread_s == [0.0, MAX_PAUSE_S, 0.0]

    run(scenario, burst=0)


def test_a_pipelined_request_is_rejected_in_its_turn() -> None:
    """A client that sends several requests at once takes the first answer for that of the first request."""

    async def scenario(client: Client, loop: Loop) -> None:
        client.send(get("/first") + get("/no-room") + get("/last"))
        await loop.skip(0)
        assert client.received() == b""
        client.go_on.set()

        assert await client.answers(3) == [(200, "/first"), (429, "/no-room"), (200, "/last")]

    run(scenario)


def test_a_thousand_pipelined_requests_are_rejected_in_order() -> None:
    """Each after the one before it: none of them inside of the call that answered that one."""

    async def scenario(client: Client, loop: Loop) -> None:
        paths = [f"/no-{number}" for number in range(1_000)]
        client.send(get("/first") + b"".join(map(get, paths)))
        client.go_on.set()

        expected = [(200, "/first"), *((429, path) for path in paths)]
        assert await client.answers(len(expected)) == expected

    run(scenario)


def test_a_body_that_is_broken_at_once_is_not_asked_for(caplog: pytest.LogCaptureFixture) -> None:
    """A client that waits for 100 Continue and sends a wrong chunk with its head gets 400, and no error is logged."""

    async def scenario(client: Client, loop: Loop) -> None:
        head = b"POST /upload HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
        client.send(head + b"zz\r\n")
        client.go_on.set()
        await loop.skip(0)
        assert client.received().startswith(b"HTTP/1.1 400 ")

    run(scenario)
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
