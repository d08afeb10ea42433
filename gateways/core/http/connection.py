"""
An HTTP connection for a server under load.

It cancels its request when the client disconnects, answers 408 to slow uploads and 431 to large headers, and rejects
overload from the headers alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from functools import partial
from http import HTTPStatus
from typing import Any, TypeAlias, cast

import orjson
from starlette.responses import Response
from starlette.types import Scope
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateways.core.errors import GatewayError, HeadTooLarge, TooSlow
from gateways.core.http.request_state import cancel_task

MAX_HEAD_BYTES = 64 << 10
# The read timeout starts anew after each part of a long body.
PART_BYTES = 1 << 20
LINGER_S = 1.0

# Returns the response that rejects a request from its headers, None to serve the request.
Reject: TypeAlias = Callable[[Scope], Response | None]


class Connection(HttpToolsProtocol):
    """uvicorn's protocol with a read timeout, a limit of the headers, and early rejection."""

    def __init__(self, *args: Any, read_timeout_s: float, reject: Reject | None, **options: Any) -> None:
        super().__init__(*args, **options)
        self._read_timeout_s = read_timeout_s
        self._reject = reject
        self._head_bytes: int | None = 0  # None while a body arrives
        self._body_bytes = 0
        self._closing = False
        self._read_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the read timeout of the first request."""
        super().connection_made(transport)
        self._start_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the request that is being served."""
        cycle = self.cycle
        super().connection_lost(exc)
        self._stop_timer()
        if cycle and cycle.disconnected:
            cancel_task(cycle.scope)

    def data_received(self, data: bytes) -> None:
        """Parse the bytes. Headers over MAX_HEAD_BYTES get 431."""
        if self._closing:
            return
        if self._head_bytes is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        if self._head_bytes is not None and self._head_bytes > MAX_HEAD_BYTES:
            self._answer_and_close(HeadTooLarge(f"the header fields are over {MAX_HEAD_BYTES} bytes"))

    def on_message_begin(self) -> None:
        """Start the read timeout of a request on a connection that was kept alive."""
        super().on_message_begin()
        self._start_timer()

    def on_headers_complete(self) -> None:
        """Serve the request, or reject it from its headers."""
        self._head_bytes = None
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        # A pipelined request waits for the answers before its own: only the application keeps that order.
        simple = cycle is self.cycle and cycle.keep_alive and not cycle.waiting_for_100_continue
        open_ = simple and not self.transport.is_closing()
        rejection = self._reject(cycle.scope) if self._reject and open_ else None
        if rejection is None:
            super()._start_asgi_task(cycle, app)
            return
        headers = [*self.server_state.default_headers, *rejection.raw_headers]
        self.transport.write(_serialize(rejection.status_code, headers, bytes(rejection.body)))
        cycle.response_started = cycle.response_complete = True
        self.on_response_complete()

    def on_body(self, body: bytes) -> None:
        """Restart the read timeout after each PART_BYTES of a body."""
        super().on_body(body)
        self._body_bytes += len(body)
        if self._body_bytes >= PART_BYTES:
            self._body_bytes = 0
            self._stop_timer()
            self._start_timer()

    def on_message_complete(self) -> None:
        """Stop the read timeout until the next request begins."""
        super().on_message_complete()
        # Backpressure of a long body stopped reading. A connection that does not read misses the disconnect.
        self.flow.resume_reading()
        self._head_bytes = self._body_bytes = 0
        self._stop_timer()

    def _start_timer(self) -> None:
        if self._read_timer is None:
            self._read_timer = self.loop.call_later(self._read_timeout_s, self._time_out)

    def _stop_timer(self) -> None:
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _time_out(self) -> None:
        self._answer_and_close(TooSlow(f"the request did not arrive within {self._read_timeout_s:g} s"))

    def _answer_and_close(self, error: GatewayError) -> None:
        if self._closing or self.transport.is_closing():
            return
        self._closing = True
        if self._head_bytes is None and self.cycle and self.cycle.response_started:
            self.transport.close()
            return
        self.transport.write(_serialize_error(error))
        if self.transport.can_write_eof():
            # Closing while more of the request arrives sends a reset, which would drop the answer.
            self.transport.write_eof()
            self.loop.call_later(LINGER_S, self.transport.close)
        else:
            self.transport.close()


def connection_class(read_timeout_s: float, reject: Reject | None) -> type[Connection]:
    """Return what uvicorn calls for each new connection: Connection with these two arguments bound."""
    return cast(type[Connection], partial(Connection, read_timeout_s=read_timeout_s, reject=reject))


def _serialize_error(error: GatewayError) -> bytes:
    body = orjson.dumps(error.body())
    headers = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"connection", b"close"),
    ]
    return _serialize(error.status, headers, body)


def _serialize(status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> bytes:
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"HTTP/1.1 %d %b\r\n%b\r\n%b" % (status, HTTPStatus(status).phrase.encode(), lines, body)
