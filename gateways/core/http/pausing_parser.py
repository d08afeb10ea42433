"""uvicorn's parsing of HTTP/1.1, which stops where a client sends faster than it is served."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from gateways.core.errors import GatewayError, HeadTooLarge, InvalidRequest, internal_error
from gateways.core.host import unread
from gateways.core.http.raw_answers import invalid_http
from gateways.core.http.raw_input import HeldFlow, RawInput, head_without_upgrade, is_piece, origin_form

log = logging.getLogger(__name__)

MAX_HEAD_BYTES = 64 << 10
# A client that sends many small requests at once lets others have their turn after this many pieces.
PIECES_PER_TURN = 32


class MessageParser(HttpToolsProtocol):
    """What the parser calls for each part of a request. Offers to speak another protocol are ignored."""

    flow: HeldFlow

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.in_message = self.in_body = False
        self.head_bytes = 0  # of heads and trailers, since the last byte of a body

    def fail(self, error: GatewayError) -> None:
        """Answer the request that is arriving with an error, and close."""
        raise NotImplementedError

    def pause_timeout(self) -> None:
        """Stop the time of the request that is arriving, because nothing is read."""
        raise NotImplementedError

    def start_timeout(self) -> None:
        """Start the time of the request that is arriving, unless it runs."""
        raise NotImplementedError

    def start_keep_alive(self) -> None:
        """Start the time after which an idle connection is closed."""
        raise NotImplementedError

    def on_message_begin(self) -> None:
        """Start the time of a request."""
        super().on_message_begin()
        self._unset_keepalive_if_required()
        self.in_message, self.in_body = True, False
        self.start_timeout()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header. A trailer is dropped: the head that was checked is the head that counts."""
        if self.in_body:
            return
        name = name.lower()
        if name == b"expect" and value.lower() == b"100-continue":
            self.expect_100_continue = True
        self.headers.append((name, value))

    def on_headers_complete(self) -> None:
        """Begin the request, unless its head is parsed again."""
        if self.parser.should_upgrade():
            return
        if not self.url.startswith(b"/"):
            self.url = origin_form(self.url)
        self.in_body = True
        self.head_bytes = 0
        self.begin_request()

    def begin_request(self) -> None:
        """Serve the request whose head has arrived."""
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Keep a part of a body."""
        super().on_body(body)
        self.head_bytes = 0

    def on_message_complete(self) -> None:
        """Wait for the next request."""
        if self.parser.should_upgrade():
            return
        super().on_message_complete()
        # Backpressure of a long body stopped reading. A connection that does not read misses the disconnect.
        self.flow.resume_reading()
        self.in_message = self.in_body = False
        self.head_bytes = 0

    def on_response_complete(self) -> None:
        """Begin the next pipelined request, as uvicorn does. Else the connection is idle."""
        self.server_state.total_requests += 1
        if self.transport.is_closing():
            return
        self.flow.resume_reading()
        if self.pipeline:
            cycle, app = self.pipeline.pop()
            self._start_asgi_task(cycle, app)
        elif not self.in_message:
            self.start_keep_alive()


class PausingParser(MessageParser):
    """
    A protocol that holds received bytes back while a pipelined request waits or an answer is not read, or when told.

    It limits heads and trailers to MAX_HEAD_BYTES.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.closing = False
        self.unread_s = 0.0  # for how long the next request has waited already
        self._held_back_s: float | None = None  # since when, by the clock of the event loop
        self._input = RawInput()
        self._parsing = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Control the flow of a new connection."""
        super().connection_made(transport)
        self.flow = HeldFlow(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop what was not parsed."""
        super().connection_lost(exc)
        self.closing = True
        self._input.clear()
        self.pipeline.clear()

    def data_received(self, data: bytes) -> None:
        """Parse the bytes. Headers over MAX_HEAD_BYTES get 431."""
        if self.closing:
            return
        # A single request, as nearly all bytes are, needs no turn in the queue. Then nothing is left to hold back.
        if is_piece(data) and not self._input and not self._waits():
            self._parsing = True
            self._feed(data)
            self._parsing = False
            if self._input or self.pipeline:
                self.parse()
        else:
            self._input.append(data)
            self.parse()

    def resume_writing(self) -> None:
        """Go on with what was received, now that the client reads its answers."""
        super().resume_writing()
        self.parse()

    def on_response_complete(self) -> None:
        """Go on with the next request."""
        super().on_response_complete()
        if self._input or self.flow.held:
            self.parse()

    def parse(self) -> None:
        """Parse until a request waits for the one before it, or an answer for its client; then read nothing."""
        if self._parsing or self.closing or self.transport.is_closing():
            return
        self._parsing = True
        pieces = 0
        while self._input and pieces < PIECES_PER_TURN and not self._waits() and not self.closing:
            self._feed(self._input.take())
            pieces += 1
        self._parsing = False
        if self.closing:
            self._input.clear()
        elif self._input or (self.in_message and self.pipeline):
            self.flow.hold()
            self.pause_timeout()
            if not self._waits():
                self.loop.call_soon(self.parse)
        elif self.flow.held and self._held_back_s is None:
            self.flow.release()
            if self.in_message:
                self.start_timeout()

    def hold_back(self) -> None:
        """Read nothing more until `go_on`."""
        self._held_back_s = self.loop.time()
        self.flow.hold()

    def go_on(self) -> None:
        """Read again, and note for how long a request that has arrived meanwhile has waited."""
        held_back_s, self._held_back_s = self._held_back_s, None
        if held_back_s is None or self.closing or self.transport.is_closing():
            return
        if self._input:
            self.unread_s = self.loop.time() - held_back_s
        else:
            self.unread_s = unread.waited_s(self.transport.get_extra_info("socket"))
        self.parse()

    def _waits(self) -> bool:
        return bool(self.pipeline) or self.flow.write_paused or self._held_back_s is not None

    def _feed(self, piece: bytes) -> None:
        self.head_bytes += len(piece)
        try:
            self.parser.feed_data(piece)
        except httptools.HttpParserUpgrade as upgrade:
            self._ignore_upgrade(piece[upgrade.args[0] :])
        except httptools.HttpParserError as error:
            ours = isinstance(error, httptools.HttpParserCallbackError)
            if ours and not isinstance(error.__context__, httptools.HttpParserError):
                log.error("a request could not be begun", exc_info=error)
                self.fail(internal_error())
            else:
                self.fail(invalid_http(error))
        if self.head_bytes > MAX_HEAD_BYTES:
            kind = "trailer" if self.in_body else "header"
            self.fail(HeadTooLarge(f"the {kind} fields are over {MAX_HEAD_BYTES} bytes"))

    def _ignore_upgrade(self, rest: bytes) -> None:
        """Parse a request again without its offer of another protocol, with what has come after its head."""
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        if method == b"CONNECT":
            self.fail(InvalidRequest("this is no proxy; it does not answer to CONNECT", code="not_a_proxy"))
            return
        self.parser = httptools.HttpRequestParser(self)
        self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
        self.head_bytes = 0
        self._input.put_back(head_without_upgrade(method, self.url, version, self.headers) + rest)
