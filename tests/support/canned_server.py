"""A small real HTTP server in a thread, whose every answer the test writes."""

from __future__ import annotations

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

VECTOR = b'{"data":[{"index":0,"embedding":[0.6,0.8]}]}'
CLOSES = b"connection: close"


def http(status: int, body: bytes, *headers: bytes) -> bytes:
    """A whole HTTP answer."""
    lines = [f"HTTP/1.1 {status} X".encode(), f"content-length: {len(body)}".encode(), *headers]
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


@contextmanager
def canned_answers(answer: Callable[[int], bytes]) -> Iterator[tuple[int, list[bytes]]]:
    """
    Serve `answer(n)`, head and body, to the n-th request; yields the port and the bodies received.

    A connection is closed after an answer that says so, and instead of one that is empty. An answer that takes its
    time holds up all connections.
    """
    bodies: list[bytes] = []
    port: Future[int] = Future()
    stop = asyncio.Event()
    loop = asyncio.new_event_loop()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"content-length: *(\d+)", head.lower())
                bodies.append(await reader.readexactly(int(length[1]) if length else 0))
                answered = answer(len(bodies))
                writer.write(answered)
                if not answered or CLOSES in answered:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        writer.close()

    async def serve() -> None:
        server = await asyncio.start_server(connected, "127.0.0.1", 0, backlog=1024)
        port.set_result(server.sockets[0].getsockname()[1])
        await stop.wait()
        server.close()

    thread = threading.Thread(target=lambda: loop.run_until_complete(serve()))
    thread.start()
    try:
        yield port.result(timeout=10), bodies
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join()
        loop.run_until_complete(loop.shutdown_asyncgens())
        loop.close()
