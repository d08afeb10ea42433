"""The same client on httpx: what an SDK costs, for those who want to see it."""

from __future__ import annotations

import time

import httpx

from bench.driver.client import Answer


class Client:
    """One httpx client with one keep-alive connection."""

    def __init__(self, port: int, path: str) -> None:
        self._url = f"http://127.0.0.1:{port}{path}"
        self._client = httpx.AsyncClient(trust_env=False, timeout=None)  # noqa: S113  (the closed loop has its own)

    def serialise(self, body: bytes) -> bytes:
        """Only the body: httpx writes the rest each time."""
        return body

    async def connect(self) -> None:
        """httpx connects with the first request."""

    async def send(self, request: bytes) -> Answer:
        """Send one request and await its whole answer; raises OSError when the connection breaks."""
        try:
            response = await self._client.post(
                self._url, content=request, headers={"content-type": "application/json"}
            )
        except httpx.TransportError as error:
            raise ConnectionError(str(error)) from error
        return Answer(response.status_code, response.content, time.perf_counter_ns())

    async def close(self) -> None:
        """Close the connection."""
        await self._client.aclose()
