"""A client's connection: with it goes the request that is at work, and what is sent too slowly is not waited for."""

from __future__ import annotations

import asyncio
from http import HTTPStatus
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateways.core.errors import GatewayError, HeadTooLarge, TooSlow

# Where a request's scope has the task that serves it.
TASK = "gateways.task"
MAX_HEAD_BYTES = 64 << 10
# Of a long body this much may take as long as the head and a short one.
PART_BYTES = 1 << 20
LINGER_S = 1.0


def connection(read_timeout_s: float) -> type[HttpToolsProtocol]:
    """Return the protocol of connections on which a request, or another MiB of it, has so many seconds to arrive."""

    class Connection(HttpToolsProtocol):
        """uvicorn's, watched."""

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._head_bytes: int | None = 0  # None while a body comes
            self._body_bytes = 0
            self._refused = False
            self._arriving: asyncio.TimerHandle | None = None
            self._wait()

        def connection_lost(self, exc: Exception | None) -> None:
            cycle = self.cycle
            super().connection_lost(exc)
            self._arrived()
            if cycle and cycle.disconnected:
                task: Any = cycle.scope.get(TASK)
                if task:
                    task.cancel()

        def data_received(self, data: bytes) -> None:
            if self._refused:
                return
            if self._head_bytes is not None:
                self._head_bytes += len(data)
            super().data_received(data)
            if self._head_bytes is not None and self._head_bytes > MAX_HEAD_BYTES:
                self._refuse(HeadTooLarge(f"the header fields are over {MAX_HEAD_BYTES} bytes"))

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._wait()

        def on_headers_complete(self) -> None:
            self._head_bytes = None
            super().on_headers_complete()

        def on_body(self, body: bytes) -> None:
            super().on_body(body)
            self._body_bytes += len(body)
            if self._body_bytes >= PART_BYTES:
                self._body_bytes = 0
                self._arrived()
                self._wait()

        def on_message_complete(self) -> None:
            super().on_message_complete()
            self.flow.resume_reading()  # a long body stopped it; whoever does not read does not see the client go
            self._head_bytes = self._body_bytes = 0
            self._arrived()

        def _wait(self) -> None:
            if self._arriving is None:
                self._arriving = self.loop.call_later(read_timeout_s, self._too_slow)

        def _arrived(self) -> None:
            if self._arriving is not None:
                self._arriving.cancel()
                self._arriving = None

        def _too_slow(self) -> None:
            self._refuse(TooSlow(f"the request did not arrive within {read_timeout_s:g} s"))

        def _refuse(self, error: GatewayError) -> None:
            if self._refused or self.transport.is_closing():
                return
            self._refused = True
            if self._head_bytes is None and self.cycle and self.cycle.response_started:
                self.transport.close()
                return
            self.transport.write(_response(error))
            if self.transport.can_write_eof():
                # Closed at once, with more of the request on its way, the answer would be lost to a reset.
                self.transport.write_eof()
                self.loop.call_later(LINGER_S, self.transport.close)
            else:
                self.transport.close()

    return Connection


def _response(error: GatewayError) -> bytes:
    body = orjson.dumps(error.body())
    head: dict[str, Any] = {"content-type": "application/json", "content-length": len(body), "connection": "close"}
    fields = "".join(f"{name}: {value}\r\n" for name, value in head.items())
    return f"HTTP/1.1 {error.status} {HTTPStatus(error.status).phrase}\r\n{fields}\r\n".encode("ascii") + body
