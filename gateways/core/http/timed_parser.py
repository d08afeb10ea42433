"""The two timeouts of a connection: for a request to arrive, and for an idle connection to be used again."""

from __future__ import annotations

from typing import Any

from gateways.core.errors import TooSlow
from gateways.core.http.lazy_timer import LazyTimer
from gateways.core.http.pausing_parser import PausingParser

# The read timeout starts anew after each part of a long body.
PART_BYTES = 1 << 20


class TimedParser(PausingParser):
    """A protocol that answers 408 to a slow request, and closes after a time without one."""

    def __init__(self, *args: Any, read_timeout_s: float, **options: Any) -> None:
        super().__init__(*args, **options)
        self._read_timeout_s = read_timeout_s
        self._read_timer = LazyTimer(self.loop, read_timeout_s, self._time_out)
        self._idle_timer = LazyTimer(self.loop, self.timeout_keep_alive, self.timeout_keep_alive_handler)
        self._body_bytes = 0  # since the read timeout began

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop both."""
        super().connection_lost(exc)
        self._read_timer.close()
        self._idle_timer.close()

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
            self.start_keep_alive()

    def start_timeout(self) -> None:
        """Start the read timeout, unless it runs."""
        self._read_timer.start()

    def pause_timeout(self) -> None:
        """Stop the read timeout."""
        self._read_timer.stop()

    def start_keep_alive(self) -> None:
        """Start the time after which an idle connection is closed."""
        self._idle_timer.stop()
        self._idle_timer.start()

    def hold_back(self) -> None:
        """Read nothing more. What the client sends meanwhile is not lost, because the connection is not closed."""
        super().hold_back()
        self._idle_timer.stop()

    def go_on(self) -> None:
        """Read again; the connection is idle from now on."""
        if not self.in_message and not self.closing:
            self.start_keep_alive()
        super().go_on()

    def _unset_keepalive_if_required(self) -> None:
        self._idle_timer.stop()

    def _time_out(self) -> None:
        self.fail(TooSlow(f"the request did not arrive within {self._read_timeout_s:g} s"))
