"""Request bodies that are compressed with gzip or deflate, and the byte order mark before JSON."""

from __future__ import annotations

import asyncio
import zlib

from gateways.core.errors import InvalidRequest, TooLarge, UnsupportedMedia

# The window bits of zlib: gzip's header, or zlib's own.
_WINDOW_BITS = {b"gzip": 31, b"x-gzip": 31, b"deflate": 15}
BYTE_ORDER_MARK = b"\xef\xbb\xbf"
# A longer compressed body is inflated in a thread: 4 KB become 1 MiB at most, which takes 3 ms.
_SHORT_BYTES = 4_096
# JSON of texts shrinks to a third or a tenth. A body that shrinks further may have FREE_BYTES: a few KB sent could
# otherwise take MAX_BODY_BYTES of memory.
MOST_RATIO = 100
FREE_BYTES = 1 << 20
ACCEPTED = "gzip, deflate"


def check_encoding(encoding: bytes) -> bytes:
    """Return the name of a Content-Encoding, empty for none. Raises UnsupportedMedia for one that is not read."""
    name = encoding.strip().lower()
    if name in (b"", b"identity"):
        return b""
    if name not in _WINDOW_BITS:
        message = f"Content-Encoding is {encoding[:40].decode('latin-1')!r}; send the body with gzip, or as it is"
        raise UnsupportedMedia(message, code="unsupported_encoding", accept_encoding=ACCEPTED)
    return name


async def decode(raw: bytes, encoding: bytes, limit_bytes: int) -> bytes:
    """
    Return a body without its encoding and its byte order mark.

    Raises TooLarge as soon as it is over `limit_bytes`, and InvalidRequest where it is not what `encoding` says.
    """
    if encoding:
        inflate = inflate_body if len(raw) <= _SHORT_BYTES else None
        arguments = raw, encoding, limit_bytes
        raw = inflate(*arguments) if inflate else await asyncio.to_thread(inflate_body, *arguments)
    return raw.removeprefix(BYTE_ORDER_MARK)


def inflate_body(raw: bytes, encoding: bytes, limit_bytes: int) -> bytes:
    """Return the inflated body. Raises TooLarge and InvalidRequest."""
    inflater = zlib.decompressobj(_WINDOW_BITS[encoding])
    plausible_bytes = max(FREE_BYTES, MOST_RATIO * len(raw))
    most_bytes = min(limit_bytes, plausible_bytes)
    try:
        body = inflater.decompress(raw, most_bytes + 1)
    except zlib.error as error:
        raise _invalid(encoding, str(error)) from None
    if len(body) > most_bytes:
        raise body_too_large(limit_bytes) if most_bytes == limit_bytes else _too_dense()
    if not inflater.eof:
        raise _invalid(encoding, "it ends too early")
    if inflater.unused_data:
        raise _invalid(encoding, f"{len(inflater.unused_data)} bytes follow its end")
    return body


def body_too_large(limit_bytes: int) -> TooLarge:
    """Return the error of a body over the limit."""
    return TooLarge(f"the body is over {limit_bytes} bytes; send less at once", code="body_too_large")


def _too_dense() -> TooLarge:
    message = f"the body is over {MOST_RATIO} times as long as its compressed form; send it as it is"
    return TooLarge(message, code="body_too_large")


def _invalid(encoding: bytes, fault: str) -> InvalidRequest:
    return InvalidRequest(f"the body is no {encoding.decode()}: {fault}", code="invalid_encoding")
