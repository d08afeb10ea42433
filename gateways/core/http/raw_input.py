"""Bytes that were received and not parsed yet, and a flow control that holds them back."""

from __future__ import annotations

from collections.abc import Iterable

import httptools
from uvicorn.protocols.http.flow_control import FlowControl

HEAD_END = b"\r\n\r\n"
MAX_PIECE_BYTES = 64 << 10


def is_piece(data: bytes) -> bool:
    """Return whether bytes are short and have at most one end of a head in them."""
    return len(data) <= MAX_PIECE_BYTES and data.count(HEAD_END) < 2


class RawInput:
    """
    Received bytes, given out in pieces with at most one end of a head in them.

    A parser cannot be stopped inside of a piece. A client that sends thousands of small requests at once would have
    all of them parsed and queued.
    """

    def __init__(self) -> None:
        self._data = b""
        self._offset = 0

    def __bool__(self) -> bool:
        """Return whether bytes are left."""
        return self._offset < len(self._data)

    def append(self, data: bytes) -> None:
        """Add bytes at the end."""
        self._data = self._data[self._offset :] + data if self else data
        self._offset = 0

    def put_back(self, data: bytes) -> None:
        """Add bytes at the front."""
        self._data = data + self._data[self._offset :]
        self._offset = 0

    def take(self) -> bytes:
        """Return the next piece: with one end of a head, at most MAX_PIECE_BYTES."""
        start, limit = self._offset, self._offset + MAX_PIECE_BYTES
        end = self._data.find(HEAD_END, start, limit)
        # What follows the last head, mostly its body, comes in the same piece: a short request is parsed at once.
        if end < 0 or self._data.find(HEAD_END, end + len(HEAD_END), limit) < 0:
            self._offset = min(limit, len(self._data))
        else:
            self._offset = end + len(HEAD_END)
        whole = not start and self._offset == len(self._data)
        return self._data if whole else self._data[start : self._offset]

    def clear(self) -> None:
        """Drop everything."""
        self._data, self._offset = b"", 0


class HeldFlow(FlowControl):
    """Flow control that reads nothing while `held`, whoever asks for more."""

    held = False

    def hold(self) -> None:
        """Read nothing until `release`."""
        self.held = True
        self.pause_reading()

    def release(self) -> None:
        """Read again."""
        if self.held:
            self.held = False
            self.resume_reading()

    def resume_reading(self) -> None:
        """Read again, unless held."""
        if not self.held:
            super().resume_reading()


def head_without_upgrade(method: bytes, url: bytes, version: bytes, headers: Iterable[tuple[bytes, bytes]]) -> bytes:
    """
    Return the head of a request without its offer to speak another protocol.

    RFC 9110 lets a server ignore the offer. The parser cannot: it takes all that follows for the other protocol.
    """
    lines = [b"%b %b HTTP/%b" % (method, url, version)]
    for name, value in headers:
        if name == b"connection":
            options = [option.strip() for option in value.split(b",")]
            value = b", ".join(option for option in options if option.lower() not in (b"upgrade", b"http2-settings"))
        if name not in (b"upgrade", b"http2-settings") and (value or name != b"connection"):
            lines.append(b"%b: %b" % (name, value))
    return b"\r\n".join(lines) + HEAD_END


def origin_form(url: bytes) -> bytes:
    """Return the path and the query of an absolute URL. Raises HttpParserInvalidURLError."""
    parsed = httptools.parse_url(url)
    path = parsed.path or b"/"
    return path + b"?" + parsed.query if parsed.query else path
