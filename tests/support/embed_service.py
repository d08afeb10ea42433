"""An embed service in the event loop of a test, which says what it answers and when."""

from __future__ import annotations

import asyncio
import dataclasses
import re
from collections import deque
from types import TracebackType
from typing import Self

import orjson

from gateways.core.inference.pseudo_backend import PseudoBackend
from gateways.split import wire_format
from tests.support.canned_server import http

FAILURE = (500, b"{}")


def error_of(code: str) -> tuple[int, bytes]:
    """Return the status and the body of a model's error."""
    return 500, orjson.dumps({"error": {"message": "no", "type": "server_error", "param": None, "code": code}})


class EmbedService:
    """
    A service that is healthy, counts its calls, and holds them until `go_on`.

    `arrivals` is released for each call; two services may share it. A call gets the next of `answers`, a status
    and a body. If there is none, it gets the pseudo backend's vectors of its `texts`, or `{}` without texts.

    A call with one of the `deadly` bytes in its body breaks all connections, and counts as one of `deaths`. The
    service is there again at once, as under a supervisor.
    """

    def __init__(self, arrivals: asyncio.Semaphore | None = None) -> None:
        self.calls = 0
        self.deaths = 0
        self.deadly: set[bytes] = set()
        self.arrivals = arrivals or asyncio.Semaphore(0)
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.answers: deque[tuple[int, bytes]] = deque()
        self._handlers: list[asyncio.Task[None] | None] = []
        self._writers: list[asyncio.StreamWriter] = []
        self._backend = PseudoBackend()
        models = [dataclasses.asdict(model) for model in self._backend.models()]
        self._health = http(200, orjson.dumps({"status": "ok", "models": models}))

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Close all connections, and refuse new ones."""
        self._server.close()
        self.go_on.set()
        for writer in self._writers:
            writer.close()
        await asyncio.gather(*filter(None, self._handlers))

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._handlers.append(asyncio.current_task())
        self._writers.append(writer)
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                length = re.search(rb"content-length: *(\d+)", head.lower())
                body = await reader.readexactly(int(length[1]) if length else 0)
                if any(part in body for part in self.deadly):
                    self.die()
                    return
                writer.write(self._health if b"/healthz " in head else await self._answer(body))
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    def die(self) -> None:
        """Break all connections."""
        self.deaths += 1
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()

    async def _answer(self, body: bytes) -> bytes:
        self.calls += 1
        self.arrivals.release()
        await self.go_on.wait()
        if self.answers:
            return http(*self.answers.popleft())
        fields = orjson.loads(body)
        if "texts" not in fields:
            return http(200, b"{}")
        return http(200, wire_format.encode(await self._backend.embed(fields["model"], fields["texts"])))
