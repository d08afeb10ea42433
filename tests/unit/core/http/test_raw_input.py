"""Pieces of received bytes, and the head of a request without its offer of another protocol."""

from __future__ import annotations

from gateways.core.http.raw_input import MAX_PIECE_BYTES, RawInput, head_without_upgrade, origin_form

REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


def pieces(received: RawInput) -> list[bytes]:
    """Take all pieces."""
    taken = []
    while received:
        taken.append(received.take())
    return taken


def test_a_piece_has_one_end_of_a_head() -> None:
    """Many requests at once are given out one by one; what was cut off waits for more."""
    received = RawInput()
    received.append(REQUEST * 3 + REQUEST[:5])

    assert pieces(received) == [REQUEST, REQUEST, REQUEST + REQUEST[:5]]
    received.append(REQUEST[5:] + REQUEST + b"x")
    assert pieces(received) == [REQUEST[5:], REQUEST + b"x"]


def test_bytes_keep_their_order() -> None:
    """Those that come later follow those that were not taken; those that are put back come first."""
    received = RawInput()
    received.append(REQUEST + REQUEST + b"1")
    received.take()
    received.append(b"2")
    received.put_back(b"0")
    assert pieces(received) == [b"0" + REQUEST + b"12"]
    assert not received


def test_a_long_body_comes_in_parts() -> None:
    """A piece has at most MAX_PIECE_BYTES, and nothing is lost."""
    received = RawInput()
    body = bytes(range(256)) * 1_000
    received.append(body)
    taken = pieces(received)
    assert b"".join(taken) == body
    assert max(map(len, taken)) == MAX_PIECE_BYTES


def test_the_offer_alone_is_left_out_of_a_head() -> None:
    """Other options of Connection stay, and so does every other header."""
    headers = [
        (b"connection", b"close, Upgrade, HTTP2-Settings"),
        (b"upgrade", b"h2c"),
        (b"http2-settings", b"AA"),
        (b"content-length", b"3"),
    ]
    head = head_without_upgrade(b"POST", b"/x", b"1.1", headers)
    assert head == b"POST /x HTTP/1.1\r\nconnection: close\r\ncontent-length: 3\r\n\r\n"
    assert head_without_upgrade(b"GET", b"/", b"1.1", headers[:1]).count(b"\r\n") == 3


def test_an_absolute_url_is_its_path() -> None:
    """A client that takes the gateway for a proxy sends the whole URL."""
    for url, path in [(b"http://a/b?c=d", b"/b?c=d"), (b"http://a", b"/"), (b"http://a/b#c", b"/b")]:
        assert origin_form(url) == path
