"""
An HTTP connection for a server under load.

It cancels its request when the client disconnects, answers 408 to slow uploads, refuses connections that are too
many, and rejects overload from the headers alone.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Any, TypeAlias, cast

from starlette.responses import Response
from starlette.types import Scope

from gateways.core.errors import BackendUnavailable, GatewayError, TooSlow
from gateways.core.http.open_connections import PROBE_PATHS, OpenConnections
from gateways.core.http.pausing_parser import PausingParser
from gateways.core.http.raw_answers import serialize, serialize_error
from gateways.core.http.request_state import cancel_task

# The read timeout starts anew after each part of a long body.
PART_BYTES = 1 << 20
LINGER_S = 1.0

# Returns the response that rejects a request from its headers, None to serve the request.
Reject: TypeAlias = Callable[[Scope], Response | None]


class Connection(PausingParser):
    """uvicorn's protocol with a read timeout, a place among the open connections, and early rejection."""

    def __init__(
        self,
        *args: Any,
        read_timeout_s: float,
        open_connections: OpenConnections,
        reject: Reject | None,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._read_timeout_s = read_timeout_s
        self._open_connections = open_connections
        self._reject = reject
        self._body_bytes = 0  # since the read timeout began
        self._served: Any = None  # the request that the application is at, or was last
        self._probes_only = False
        self._read_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Start the read timeout of the first request, or refuse the connection where there are too many."""
        super().connection_made(transport)
        admission = self._open_connections.enter(self, self.loop)
        self._probes_only = admission == "probes only"
        if admission == "refused":
            self.closing = True
            transport.write(serialize_error(_too_many()))
            transport.close()
        else:
            self.start_timeout()

    def connection_lost(self, exc: Exception | None) -> None:
        """Cancel the request that is being served."""
        super().connection_lost(exc)
        self.pause_timeout()
        self._open_connections.leave(self)
        served = self._served
        if served and not served.response_complete:
            served.disconnected = True
            served.message_event.set()
            cancel_task(served.scope)

    def begin_request(self) -> None:
        """Serve a request, or reject it from its headers."""
        if self._probes_only and self.url.partition(b"?")[0].decode() not in PROBE_PATHS:
            self.in_body = False
            self.fail(_too_many())
            return
        self._open_connections.mark_busy(self)
        super().begin_request()

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._served = cycle
        if self._probes_only:
            cycle.keep_alive = False
        # A pipelined request waits for the answers before its own: only the application keeps that order.
        simple = cycle is self.cycle and cycle.keep_alive and not cycle.waiting_for_100_continue
        open_ = simple and not self.transport.is_closing()
        rejection = self._reject(cycle.scope) if self._reject and open_ else None
        if rejection is None:
            super()._start_asgi_task(cycle, app)
            return
        headers = [*self.server_state.default_headers, *rejection.raw_headers]
        self.transport.write(serialize(rejection.status_code, headers, bytes(rejection.body)))
        cycle.response_started = cycle.response_complete = True
        self.on_response_complete()

    def on_response_complete(self) -> None:
        """Go on with the next request."""
        super().on_response_complete()
        if self._served.response_complete:
            self._open_connections.mark_idle(self)
        if self.in_message:
            self._unset_keepalive_if_required()

    def on_body(self, body: bytes) -> None:
        """Restart the read timeout after each PART_BYTES of a body."""
        super().on_body(body)
        self._body_bytes += len(body)
        if self._body_bytes >= PART_BYTES:
            self._body_bytes = 0
            self.pause_timeout()
            self.start_timeout()

    def on_message_complete(self) -> None:
        """Stop the read timeout until the next request begins."""
        super().on_message_complete()
        if self.in_message:
            return
        self._body_bytes = 0
        self.pause_timeout()
        if self.cycle.response_complete and not self.transport.is_closing():
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def start_timeout(self) -> None:
        """Start the read timeout, unless it runs."""
        if self._read_timer is None:
            self._read_timer = self.loop.call_later(self._read_timeout_s, self._time_out)

    def pause_timeout(self) -> None:
        """Stop the read timeout."""
        if self._read_timer is not None:
            self._read_timer.cancel()
            self._read_timer = None

    def _time_out(self) -> None:
        self.fail(TooSlow(f"the request did not arrive within {self._read_timeout_s:g} s"))

    def fail(self, error: GatewayError) -> None:
        """Answer the request that is arriving with an error, after the answers to those before it; then close."""
        if self.closing or self.transport.is_closing():
            return
        self.closing = True
        self.pause_timeout()
        served, known = self._served, self.in_message and self.in_body
        if served and not served.response_complete:
            if not known or served is not self.cycle or served.response_started:
                # The client takes the next answer for that of an earlier request. The connection ends with it.
                served.keep_alive = False
                self.pipeline.clear()
                return
            served.disconnected = True
            served.waiting_for_100_continue = False  # nothing is written behind the error
            served.message_event.set()
        if not (known and served and served.response_complete):
            self.transport.write(serialize_error(error))
        self._close_gently()

    def _close_gently(self) -> None:
        if self.transport.can_write_eof():
            # Closing while more of the request arrives sends a reset, which would drop the answer.
            self.transport.write_eof()
            self.loop.call_later(LINGER_S, self.transport.close)
        else:
            self.transport.close()


def connection_class(
    read_timeout_s: float, open_connections: OpenConnections, reject: Reject | None
) -> type[Connection]:
    """Return what uvicorn calls for each new connection: Connection with these arguments bound."""
    bound = partial(Connection, read_timeout_s=read_timeout_s, open_connections=open_connections, reject=reject)
    return cast(type[Connection], bound)


def _too_many() -> BackendUnavailable:
    message = "this process has as many connections as it may have (MAX_CONNECTIONS); try again in a second"
    return BackendUnavailable(message, code="too_many_connections", retry_after_s=1)
