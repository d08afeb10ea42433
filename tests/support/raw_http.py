"""Requests and answers as they go over the wire, for what no client library sends."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

import orjson

from tests.support.gateways import Gateway


def connected(gateway: Gateway) -> socket.socket:
    """Open a bare connection."""
    address = urlsplit(gateway.url)
    return socket.create_connection((address.hostname or "", address.port or 0), timeout=30)


def request(path: str, body: bytes, *more: str) -> bytes:
    """Return a POST as it goes over the wire."""
    fields = ["Host: here", "Content-Type: application/json", f"Content-Length: {len(body)}", *more]
    return "\r\n".join([f"POST {path} HTTP/1.1", *fields, "", ""]).encode() + body


def embeddings(texts: list[str], *more: str) -> bytes:
    """Return a request for embeddings as it goes over the wire."""
    return request("/v1/embeddings", orjson.dumps({"input": texts}), *more)


def answer(client: socket.socket) -> tuple[int, bytes]:
    """Read until the server closes; the status and all of the rest."""
    response = b""
    while piece := client.recv(1 << 16):
        response += piece
    return int(response.split(b" ", 2)[1]), response


def answers(client: socket.socket, count: int) -> list[tuple[int, bytes]]:
    """Read so many answers of one connection that stays open: status and head of each."""
    buffer = b""
    responses: list[tuple[int, bytes]] = []
    while len(responses) < count:
        head, whole, rest = buffer.partition(b"\r\n\r\n")
        length = next((int(line[15:]) for line in head.split(b"\r\n") if line.startswith(b"content-length:")), 0)
        if whole and len(rest) >= length:
            responses.append((int(head.split(b" ", 2)[1]), head))
            buffer = rest[length:]
        else:
            piece = client.recv(1 << 16)
            assert piece, buffer
            buffer += piece
    assert not buffer
    return responses
