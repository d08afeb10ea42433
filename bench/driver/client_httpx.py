"""The same client on httpx: what an SDK costs, for those who want to see it."""

from __future__ import annotations

import time
from collections.abc import Mapping

import httpx

from bench.driver.client import Answer

HTTPS = 443


class Client:
    """One httpx client with one keep-alive connection."""

    def __init__(self, host: str, port: int, headers: Mapping[str, str]) -> None:
        self._client = httpx.AsyncClient(
            base_url=f"{'https' if port == HTTPS else 'http'}://{host}:{port}",
            headers={"content-type": "application/json", **headers},
            trust_env=False,
            timeout=None,  # noqa: S113  (the driver has its own)
        )

    def serialise(self, path: str, body: bytes) -> bytes:
        """Path and body: httpx writes the rest each time."""
        return path.encode() + b"\n" + body

    async def connect(self) -> None:
        """httpx connects with the first request."""

    async def send(self, request: bytes) -> Answer:
        """Send one request and await its whole answer; raises OSError when the connection breaks."""
        path, _, body = request.partition(b"\n")
        try:
            response = await self._client.post(path.decode(), content=body)
        except httpx.TransportError as error:
            raise ConnectionError(str(error)) from error
        return Answer(response.status_code, response.content, time.perf_counter_ns())

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()
