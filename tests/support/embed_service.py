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
from tests.support.canned_server import http

FAILURE = (500, b"{}")


def error_of(code: str) -> tuple[int, bytes]:
    """Return the status and the body of a model's error."""
    return 500, orjson.dumps({"error": {"message": "no", "type": "server_error", "param": None, "code": code}})


class EmbedService:
    """
    A service that is healthy, counts its calls, and holds them until `go_on`.

    `arrivals` is released for each call; two services may share it. A call gets the next of `answers`, a status
    and a body, and `{}` with 200 if there is none.
    """

    def __init__(self, arrivals: asyncio.Semaphore | None = None) -> None:
        self.calls = 0
        self.arrivals = arrivals or asyncio.Semaphore(0)
        self.go_on = asyncio.Event()
        self.go_on.set()
        self.answers: deque[tuple[int, bytes]] = deque()
        self._handlers: list[asyncio.Task[None] | None] = []
        self._writers: list[asyncio.StreamWriter] = []
        models = [dataclasses.asdict(model) for model in PseudoBackend().models()]
        self._health = http(200, orjson.dumps({"status": "ok", "models": models}))

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
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
                await reader.readexactly(int(length[1]) if length else 0)
                writer.write(self._health if b"/healthz " in head else await self._answer())
        except (asyncio.IncompleteReadError, ConnectionError):
            writer.close()

    async def _answer(self) -> bytes:
        self.calls += 1
        self.arrivals.release()
        await self.go_on.wait()
        return http(*(self.answers.popleft() if self.answers else (200, b"{}")))
