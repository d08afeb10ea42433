"""A server that does nothing: the ceiling of a client is what it reaches against this one."""

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
    """An answer as long as a real one: one vector of 384 numbers."""
    row = {"object": "embedding", "index": 0, "embedding": VECTOR}
    return orjson.dumps({"object": "list", "data": [row], "model": "null", "usage": {"prompt_tokens": 1}})


def search_answer() -> bytes:
    """An answer as long as a real one: five passages of about 750 characters."""
    results = [{"id": f"squad-{i:04d}", "score": 0.5, "text": PASSAGE, "metadata": {}} for i in range(5)]
    return orjson.dumps({"results": results, "took_ms": 0.0})


class NullServer(asyncio.Protocol):
    """Answers every request with bytes made beforehand."""

    def __init__(self, answers: dict[bytes, bytes]) -> None:
        self._answers = answers
        self._parser = httptools.HttpRequestParser(self)
        self._path = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the transport is there."""
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        """asyncio: bytes came."""
        self._parser.feed_data(data)

    def on_url(self, url: bytes) -> None:
        """httptools: the path."""
        self._path = url

    def on_message_complete(self) -> None:
        """httptools: the request is whole."""
        self._transport.write(self._answers.get(self._path, self._answers[b""]))


def _whole(body: bytes) -> bytes:
    return f"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n".encode() + body


async def main(port: int) -> None:
    """Serve on 127.0.0.1 until killed."""
    answers = {b"/v1/embeddings": embeddings_answer(), b"/v1/search": search_answer(), b"": b"{}"}
    whole = {path: _whole(body) for path, body in answers.items()}
    server = await asyncio.get_running_loop().create_server(lambda: NullServer(whole), "127.0.0.1", port)
    await server.serve_forever()


if __name__ == "__main__":
    sys.stderr.write(f"null server {os.getpid()}\n")
    uvloop.run(main(int(sys.argv[1])))
