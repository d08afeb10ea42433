"""A grammar of what may come over a connection: heads, chunks, trailers, pipelines, upgrades, and damage to them."""

from __future__ import annotations

import random
from dataclasses import dataclass

BODY = b'{"input": "a text"}'
METHODS = [
    b"GET",
    b"HEAD",
    b"POST",
    b"PUT",
    b"DELETE",
    b"OPTIONS",
    b"PATCH",
    b"TRACE",
    b"CONNECT",
    b"PRI",
    b"get",
    b"X",
]
TARGETS = [
    *[
        b"/",
        b"/healthz",
        b"/readyz",
        b"/metrics",
        b"/v1/models",
        b"/v1/embeddings",
        b"/v2/embed",
        b"/v1/jobs/1",
        b"*",
    ],
    *[
        b"/metrics%0A",
        b"/v1/documents/%00%0d%0a",
        b"//v1//models/",
        b"/v1/v1/models",
        b"http://a/healthz",
        b"http://a",
    ],
    *[b"a:443", b"/\xc3\xbc", b"/%ff%fe", b"/?" + b"q" * 5_000, b"/" + b"p" * 20_000, b"", b"/ x", b"/\x00", b"/%"],
]
VERSIONS = [b"HTTP/1.1"] * 8 + [b"HTTP/1.0", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.1 ", b"", b"ICY/1.0"]
FIELDS = [
    *[
        b"Host: a",
        b"Connection: close",
        b"Connection: keep-alive",
        b"Expect: 100-continue",
        b"Expect: x",
        b"X: " + b"y" * 900,
    ],
    *[
        b"Connection: Upgrade",
        b"Upgrade: h2c",
        b"Upgrade: websocket",
        b"HTTP2-Settings: AAMAAABk",
        b"Content-Encoding: gzip",
    ],
    *[
        b"Content-Encoding: br",
        b"Content-Type: text/plain",
        b"X-Request-Timeout-Ms: " + b"9" * 400,
        b"X-Request-Timeout-Ms: 0",
    ],
    *[
        b"Authorization: Bearer x",
        b"Authorization: \xff\xfe",
        b"Origin: https://a",
        b"Transfer-Encoding: identity",
        b": v",
    ],
    *[
        b"Content-Length: 5",
        b"Content-Length: -1",
        b"Content-Length: " + b"0" * 4_400 + b"3",
        b"Content-Length: 99999999999",
    ],
    *[
        b"Transfer-Encoding: chunked",
        b"Transfer-Encoding: gzip, chunked",
        b"No colon",
        b" folded: x",
        b"A:\x01",
        b"B : c",
    ],
    *[
        b"X-Request-Id: " + b"i" * 300,
        b"traceparent: 00-zz-zz-00",
        b"Content-Length: 1, 1",
        b"X:",
        b"Range: bytes=0-1",
    ],
]
NEWLINES = [b"\r\n"] * 12 + [b"\n", b"\r", b"\r\n\r\n", b"\r\r\n"]


@dataclass(frozen=True)
class Exchange:
    """
    Bytes to send, cut into parts; `answers` is the number of answers to valid requests, None where bytes are damaged.

    `reads` tells whether the client reads at all.
    """

    parts: list[bytes]
    answers: int | None
    reads: bool


def exchange(seed: int) -> Exchange:
    """Return the exchange of a seed: one third valid, the others with damage of a kind."""
    chance = random.Random(seed)  # noqa: S311 a test that can be repeated
    valid = chance.random() < 0.35
    count = chance.choice([1, 1, 1, 2, 3, 20])
    requests = [_valid(chance) if valid else _any(chance) for _ in range(count)]
    raw = b"".join(requests)
    if not valid and chance.random() < 0.5:
        raw = _damage(chance, raw)
    return Exchange(_cut(chance, raw), count if valid else None, valid or chance.random() < 0.7)


def _valid(chance: random.Random) -> bytes:
    """Return a request that has exactly one answer, and leaves its connection open."""
    fields = [b"Host: a", b"Content-Type: application/json"]
    if chance.random() < 0.3:
        fields += chance.choice(
            [
                [b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AAMAAABk"],
                [b"connection: keep-alive, upgrade", b"upgrade: websocket"],
            ]
        )
    chance.shuffle(fields)
    target = chance.choice(
        [b"/healthz", b"/v1/models", b"/nowhere", b"/metrics%0A", b"//readyz/", b"http://a/readyz"]
    )
    kind = chance.randrange(3)
    if kind == 0:
        return b"\r\n".join([b"GET %b HTTP/1.1" % target, *fields, b"", b""])
    body = BODY + b" " * chance.choice([0, 0, 10, 5_000])
    head = b"POST %b HTTP/1.1" % chance.choice([b"/v1/embeddings", b"/v2/embed", b"/nowhere"])
    if kind == 1:
        return b"\r\n".join([head, *fields, b"Content-Length: %d" % len(body), b"", body])
    trailers = b"".join(chance.choice([b"", b"X-Sum: 1\r\n", b"Authorization: Bearer x\r\n"]) for _ in range(3))
    return b"\r\n".join([head, *fields, b"Transfer-Encoding: chunked", b"", _chunks(chance, body) + trailers, b""])


def _chunks(chance: random.Random, body: bytes) -> bytes:
    """Return a body in chunks, without the line that ends its trailers."""
    parts = []
    while body:
        size = chance.choice([1, 7, 1_000, len(body)])
        part, body = body[:size], body[size:]
        parts.append(b"%x%b\r\n%b\r\n" % (len(part), chance.choice([b"", b"", b";a=b"]), part))
    return b"".join(parts) + b"0\r\n"


def _any(chance: random.Random) -> bytes:
    """Return a request of arbitrary parts."""
    newline = chance.choice(NEWLINES)
    line = b" ".join([chance.choice(METHODS), chance.choice(TARGETS), chance.choice(VERSIONS)])
    fields = chance.choices(FIELDS, k=chance.choice([0, 1, 3, 6, 40]))
    tail = chance.choice(
        [b"", BODY, _chunks(chance, BODY), _chunks(chance, BODY) + b"T: v\r\n" * chance.choice([1, 9_000]), b"zz\r\n"]
    )
    return newline.join([line, *fields, b"", tail])


def _damage(chance: random.Random, raw: bytes) -> bytes:
    """Return the bytes with some changed, cut off, repeated or put in."""
    data = bytearray(raw)
    for _ in range(chance.choice([1, 1, 3, 10])):
        at = chance.randrange(len(data) + 1)
        match chance.randrange(4):
            case 0 if at < len(data):
                data[at] = chance.randrange(256)
            case 1:
                del data[at:]
            case 2:
                data[at:at] = data[max(0, at - 30) : at] * chance.choice([1, 2, 500])
            case _:
                data[at:at] = chance.randbytes(chance.choice([1, 4, 2_000]))
    return bytes(data)


def _cut(chance: random.Random, raw: bytes) -> list[bytes]:
    """Return the bytes in parts, as a network may deliver them."""
    places = sorted(chance.randrange(len(raw) + 1) for _ in range(chance.choice([0, 0, 1, 3])))
    return [raw[start:end] for start, end in zip([0, *places], [*places, len(raw)], strict=True) if start < end]
