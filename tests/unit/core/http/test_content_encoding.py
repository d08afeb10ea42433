"""Compressed bodies: their limits in bytes and in proportion, and encodings that are not read."""

from __future__ import annotations

import asyncio
import gzip
import zlib

import pytest

from gateways.core.errors import InvalidRequest, TooLarge, UnsupportedMedia
from gateways.core.http.content_encoding import FREE_BYTES, check_encoding, decode

LIMIT_BYTES = 8 << 20


def inflate(raw: bytes, encoding: bytes = b"gzip", limit_bytes: int = LIMIT_BYTES) -> bytes:
    """Decode a body."""
    return asyncio.run(decode(raw, encoding, limit_bytes))


@pytest.mark.parametrize("length", [0, 1, 3_000, 3 * FREE_BYTES])
def test_a_body_comes_back_as_it_was(length: int) -> None:
    """Of any length, with either encoding, and without a byte order mark."""
    body = b" ".join(b"text %d of some words" % number for number in range(length // 20))
    assert inflate(gzip.compress(body)) == body
    assert inflate(zlib.compress(body), b"deflate") == body
    assert inflate(b"\xef\xbb\xbf" + body, b"") == body
    assert inflate(gzip.compress(b"\xef\xbb\xbf" + body)) == body


def test_the_limit_is_that_of_the_plain_body() -> None:
    """A body of exactly the limit is read, one byte more is refused."""
    body = bytes(range(256)) * 4
    assert inflate(gzip.compress(body), limit_bytes=1_024) == body
    with pytest.raises(TooLarge, match="over 1024 bytes"):
        inflate(gzip.compress(body + b"x"), limit_bytes=1_024)


def test_a_few_bytes_do_not_become_megabytes() -> None:
    """Blanks shrink a thousandfold: they may have a MiB, whatever the limit is."""
    assert inflate(gzip.compress(b" " * FREE_BYTES)) == b" " * FREE_BYTES
    with pytest.raises(TooLarge, match="100 times"):
        inflate(gzip.compress(b" " * (FREE_BYTES + 1)))


@pytest.mark.parametrize(
    ("raw", "fault"), [(b"", "ends too early"), (b"{}", "header"), (gzip.compress(b"{}") * 2, "follow")]
)
def test_what_is_no_gzip_is_told(raw: bytes, fault: str) -> None:
    """An empty body, JSON as it is, two members."""
    with pytest.raises(InvalidRequest, match=fault):
        inflate(raw)


def test_other_encodings_are_named() -> None:
    """With those that are read, as the header Accept-Encoding has them."""
    assert [check_encoding(name) for name in (b"", b"identity", b" GZIP ", b"deflate")] == [
        b"",
        b"",
        b"gzip",
        b"deflate",
    ]
    for name in (b"br", b"zstd", b"gzip, gzip"):
        with pytest.raises(UnsupportedMedia, match=name.decode()) as refused:
            check_encoding(name)
        assert refused.value.headers() == {"Accept-Encoding": "gzip, deflate"}
