"""A server that does no work. The driver's rate against it is the client ceiling."""

from __future__ import annotations

import asyncio
import os
import sys
from typing import cast

import httptools
import orjson
import uvloop

VECTOR = [round(0.05 * (-1) ** i + i / 7919, 9) for i in range(384)]
PASSAGE = "The Normans were the people who in the 10th and 11th centuries gave their name to Normandy. " * 8


def embeddings_answer() -> bytes:
    """Return an answer of realistic length: one vector of 384 numbers."""
    row = {"object": "embedding", "index": 0, "embedding": VECTOR}
    return orjson.dumps({"object": "list", "data": [row], "model": "null", "usage": {"prompt_tokens": 1}})


def search_answer() -> bytes:
    """Return an answer of realistic length: five passages of about 750 characters."""
    results = [{"id": f"squad-{i:04d}", "score": 0.5, "text": PASSAGE, "metadata": {}} for i in range(5)]
    return orjson.dumps({"results": results, "took_ms": 0.0})


class NullServer(asyncio.Protocol):
    """Answers every request with prepared bytes."""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self._answers = answers
        self._parser = httptools.HttpRequestParser(self)
        self._path = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the connection is open."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes arrived."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """httptools: the path."""
        self._path = url

    def on_message_complete(self) -> None:
        """httptools: the request is complete."""
        self._transport.write(self._answers.get(self._path, self._answers[b""]))


def _serialise(body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


async def main(port: int) -> None:
    """Serve on 127.0.0.1 until killed."""
    answers = {b"/v1/embeddings": embeddings_answer(), b"/v1/search": search_answer(), b"": b"{}"}
    responses = {path: _serialise(body) for path, body in answers.items()}
    server = await asyncio.get_running_loop().create_server(lambda: NullServer(responses), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    sys.stderr.write(f"null server {os.getpid()}\n")
    uvloop.run(main(int(sys.argv[1])))
