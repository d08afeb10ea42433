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

from starlette.types import Scope

from gateways.core.errors import BackendUnavailable, GatewayError
from gateways.core.http.open_connections import PROBE_PATHS, OpenConnections
from gateways.core.http.raw_answers import RawAnswer, SharedFields, serialize_error
from gateways.core.http.refusal_pace import RefusalPace
from gateways.core.http.request_headers import TIMEOUT_HEADER, headers_by_name
from gateways.core.http.request_state import cancel_task
from gateways.core.http.timed_parser import TimedParser

LINGER_S = 1.0
# A request with a deadline is late if it has waited unread for longer.
LATE_S = 0.05

# Returns the answer that rejects a request from its headers, None to serve the request. It is told for how many
# seconds the request has waited unread.
Reject: TypeAlias = Callable[[Scope, float], RawAnswer | None]


class RejectedCycle:
    """In place of uvicorn's cycle where a request was rejected from its headers: it is answered already."""

    __slots__ = ()
    response_started = response_complete = keep_alive = True
    disconnected = False
    message_event = asyncio.Event()


class Connection(TimedParser):
    """uvicorn's protocol with timeouts, a place among the open connections, and early rejection."""

    def __init__(
        self,
        *args: Any,
        open_connections: OpenConnections,
        reject: Reject | None,
        shared_fields: SharedFields,
        pace: RefusalPace,
        **options: Any,
    ) -> None:
        super().__init__(*args, **options)
        self._open_connections = open_connections
        self._reject = reject
        self._shared_fields = shared_fields
        self._pace = pace
        self._served: Any = None  # the request that the application is at, or was last
        self._probes_only = False
        self._refused_late = False

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
        rejection = None
        if self._reject and self._is_simple():
            scope = self._early_scope()
            rejection = self._reject(scope, self.unread_s)
            self._refused_late = self.unread_s > LATE_S and TIMEOUT_HEADER in headers_by_name(scope)
        self.unread_s = 0.0
        if rejection is None:
            super().begin_request()
        else:
            shared = self._shared_fields.lines(self.server_state.default_headers)
            self.transport.write(b"".join((rejection.head, shared, b"\r\n", rejection.body)))
            self.cycle = self._served = cast(Any, RejectedCycle())
            self.on_response_complete()

    def _is_simple(self) -> bool:
        """Return whether the request that begins may be answered from its headers, and the connection goes on."""
        # A pipelined request waits for the answers before its own: only the application keeps that order.
        first = self.cycle is None or self.cycle.response_complete
        goes_on = self.parser.should_keep_alive() and self.parser.get_http_version() == "1.1"
        return (
            first and goes_on and not (self.expect_100_continue or self._probes_only or self.transport.is_closing())
        )

    def _early_scope(self) -> Scope:
        """Return the scope of the request that begins. A path with escapes is none of those that are rejected."""
        scope = cast(Scope, self.scope)
        scope["method"] = self.parser.get_method().decode("ascii")
        scope["path"] = self.url.partition(b"?")[0].decode("latin-1")
        return scope

    def _start_asgi_task(self, cycle: Any, app: Any) -> None:
        self._served = cycle
        if self._probes_only:
            cycle.keep_alive = False
        super()._start_asgi_task(cycle, app)

    def on_response_complete(self) -> None:
        """Go on with the next request."""
        super().on_response_complete()
        if self._served.response_complete:
            self._open_connections.mark_idle(self)

    def on_message_complete(self) -> None:
        """Go on at the pace of refusals."""
        super().on_message_complete()
        refused = isinstance(self.cycle, RejectedCycle) and not self._refused_late
        if refused and not self.in_message and not self.transport.is_closing():
            self._pace.note_refusal(self, self.server_state.total_requests, self.loop)

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
    bound = partial(
        Connection,
        read_timeout_s=read_timeout_s,
        open_connections=open_connections,
        reject=reject,
        shared_fields=SharedFields(),
        pace=RefusalPace(),
    )
    return cast(type[Connection], bound)


def _too_many() -> BackendUnavailable:
    message = "this process has as many connections as it may have (MAX_CONNECTIONS); try again in a second"
    return BackendUnavailable(message, code="too_many_connections", retry_after_s=1)
