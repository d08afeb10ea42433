"""
A client's connection: with it goes the request that is at work, what is sent too slowly is not waited for, and what
is refused by its head is answered there and then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any, TypeAlias

import orjson
from starlette.responses import Response
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateways.core.errors import GatewayError, HeadTooLarge, TooSlow

# Where a request's scope has the task that serves it.
TASK = "gateways.task"
MAX_HEAD_BYTES = 64 << 10
# Of a long body this much may take as long as the head and a short one.
PART_BYTES = 1 << 20
LINGER_S = 1.0


# The answer to a request that is refused by its head, None for one that is to be served.
Refuse: TypeAlias = Callable[[Scope], Response | None]


class Connection(HttpToolsProtocol):
    """uvicorn's, watched; `connection` makes one for a server."""

    read_timeout_s: float
    refuse_at_once: Refuse | None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for a request."""
        super().connection_made(transport)
        self._head_bytes: int | None = 0  # None while a body comes
        self._body_bytes = 0
        self._refused = False
        self._arriving: asyncio.TimerHandle | None = None
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Give up the request that was at work."""
        cycle = self.cycle
        super().connection_lost(exc)
        self._arrived()
        if cycle and cycle.disconnected:
            task: Any = cycle.scope.get(TASK)
            if task:
                task.cancel()

    def data_received(self, data: bytes) -> None:
        """Parse what came; a head that never ends is refused."""
        if self._refused:
            return
        if self._head_bytes is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes is not None and self._head_bytes > MAX_HEAD_BYTES:
            self._refuse(HeadTooLarge(f"the header fields are over {MAX_HEAD_BYTES} bytes"))

    def on_message_begin(self) -> None:
        """Wait for the rest of it."""
        super().on_message_begin()
        self._wait()

    def on_headers_complete(self) -> None:
        """Have it served, or refused by its head."""
        self._head_bytes = None
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        # Those that others were sent before, without waiting for the answers, take the long way.
        simple = cycle is self.cycle and cycle.keep_alive and not cycle.waiting_for_100_continue
        may = simple and not self.transport.is_closing()
        refused = self.refuse_at_once(cycle.scope) if self.refuse_at_once and may else None
        if refused is None:
            super()._start_asgi_task(cycle, app)
            return
        headers = [*self.server_state.default_headers, *refused.raw_headers]
        self.transport.write(_raw(refused.status_code, headers, bytes(refused.body)))
        cycle.response_started = cycle.response_complete = True
        self.on_response_complete()

    def on_body(self, body: bytes) -> None:
        """Wait for the next part of a long body."""
        super().on_body(body)
        self._body_bytes += len(body)
        if self._body_bytes >= PART_BYTES:
            self._body_bytes = 0
            self._arrived()
            self._wait()

    def on_message_complete(self) -> None:
        """Wait for nothing until the next request begins."""
        super().on_message_complete()
        self.flow.resume_reading()  # a long body stopped it; whoever does not read does not see the client go
        self._head_bytes = self._body_bytes = 0
        self._arrived()

    def _wait(self) -> None:
        if self._arriving is None:
            self._arriving = self.loop.call_later(self.read_timeout_s, self._too_slow)

    def _arrived(self) -> None:
        if self._arriving is not None:
            self._arriving.cancel()
            self._arriving = None

    def _too_slow(self) -> None:
        self._refuse(TooSlow(f"the request did not arrive within {self.read_timeout_s:g} s"))

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


def connection(read_timeout_s: float, refuse: Refuse | None) -> type[Connection]:
    """Return the protocol of connections on which a request, or another MiB of it, has so many seconds to arrive."""
    bound = {"read_timeout_s": read_timeout_s, "refuse_at_once": staticmethod(refuse) if refuse else None}
    return type("Connection", (Connection,), bound)


def _response(error: GatewayError) -> bytes:
    body = orjson.dumps(error.body())
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    return _raw(error.status, headers, body)


def _raw(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bytes:
    fields = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (status, HTTPStatus(status).phrase.encode(), fields, body)
