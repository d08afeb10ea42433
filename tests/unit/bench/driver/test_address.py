"""The header Host of everything that the harness sends, also to an IPv6 address."""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable

import pytest

from bench.driver import client, client_httpx
from bench.targets import external
from bench.targets.relay import Request, Upstream
from tests.support.canned_server import CLOSES, VECTOR, http

BODY = b'{"input": "text"}'


def has_ipv6() -> bool:
    """Return whether ::1 can be bound."""
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


async def raw(port: int) -> None:
    """Send a request with the driver's client."""
    sender = client.Client("::1", port, {})
    await sender.send(sender.serialise("/v1/embeddings", BODY))


async def httpx(port: int) -> None:
    """Send a request with the httpx client."""
    sender = client_httpx.Client("::1", port, {})
    await sender.send(sender.serialise("/v1/embeddings", BODY))
    await sender.close()


async def relay(port: int) -> None:
    """Send a request through the proxy."""
    reply = await Upstream(f"http://[::1]:{port}")(Request("POST", "/v1/embeddings", BODY))
    assert reply.status == 200


@pytest.mark.skipif(not has_ipv6(), reason="no IPv6 here")
@pytest.mark.parametrize("send", [raw, httpx, relay])
def test_an_ipv6_address_is_sent_in_brackets(send: Callable[[int], Awaitable[None]]) -> None:
    """`host: ::1:8000` is no host and port (RFC 9110, 7.2): a proxy answers it with 400."""
    heads: list[bytes] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heads.append(await reader.readuntil(b"\r\n\r\n"))
        await reader.readexactly(len(BODY))
        writer.write(http(200, VECTOR, CLOSES))
        writer.close()

    async def exchange() -> int:
        server = await asyncio.start_server(answer, "::1", 0)
        port = int(server.sockets[0].getsockname()[1])
        async with server:
            await send(port)
        return port

    port = asyncio.run(exchange())

    sent = re.search(rb"(?im)^host: *(.*?)\r$", heads[0])
    assert sent
    assert sent[1] == b"[::1]:%d" % port


def test_a_name_or_an_ipv4_address_needs_none() -> None:
    """They have no colon."""
    assert client.authority("localhost", 8000) == "localhost:8000"
    assert client.authority("127.0.0.1", 80) == "127.0.0.1:80"


def test_the_name_of_a_target_by_ipv6_address_is_a_file_name() -> None:
    """Files of samples carry it: letters, digits, dots and dashes."""
    assert external.describe("http://[fe80::1]:8000", "openai").name == "fe80-1-8000"
    assert external.describe("http://my-host.example:8000", "openai").name == "my-host.example-8000"
